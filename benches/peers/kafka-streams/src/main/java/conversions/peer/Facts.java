package conversions.peer;

import conversions.ClickFact;
import conversions.ClickRecorded;
import conversions.ConversionReported;
import conversions.FactSource;
import conversions.OrderState;
import conversions.ReportFact;
import java.util.ArrayList;

/** How one more fact is added to an order's. */
final class Facts {
  private Facts() {}

  static OrderState empty() {
    return new OrderState(
        null, new ArrayList<>(0), null, null, null, null, null, null, null, 0, null, 0, 0L, 0L, 0, null, null, null);
  }

  /** Adds a report: the first of an order is its report, and others change nothing. False if it is not the first. */
  static boolean add(OrderState order, ConversionReported report, FactSource source, long clickWait) {
    if (order.getReport() != null) {
      return false;
    }
    order.setAwaitedUntil(report.getClickId() == null ? null : Long.valueOf(report.getReceivedAt() + clickWait));
    order.setReport(new ReportFact(
        report.getEventId(), report.getClickId(), report.getExternalProductId(), report.getAmountMinor(), report.getCurrency(),
        report.getOrderStatus(), report.getOrderedAt(), report.getReceivedAt(), report.getCouponCode(), report.getMetadata(), false,
        source));
    return true;
  }

  /** Adds the click that the order named; false if it is known, or is another. */
  static boolean add(OrderState order, ClickRecorded click, FactSource source) {
    ReportFact report = order.getReport();
    if (report == null || !click.getClickId().equals(report.getClickId()) || order.getClick() != null) {
      return false;
    }
    order.setClick(
        new ClickFact(click.getMerchantId(), click.getCampaignId(), click.getAffiliateId(), click.getClickedAt(), source));
    return true;
  }
}
