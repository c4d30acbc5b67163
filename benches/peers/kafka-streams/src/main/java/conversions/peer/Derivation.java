package conversions.peer;

import conversions.Arithmetic;
import conversions.ClickFact;
import conversions.ClickMeasured;
import conversions.Commission;
import conversions.CommissionState;
import conversions.Confidence;
import conversions.ConfidenceReason;
import conversions.ConversionState;
import conversions.HoldExplained;
import conversions.HoldWindow;
import conversions.OrderState;
import conversions.PaidBy;
import conversions.PinnedTerms;
import conversions.Published;
import conversions.ReportFact;
import conversions.StateReason;
import java.math.BigDecimal;

/** What follows from an order's report and click at one instant, and what it was come by. */
record Derivation(
    ConversionState state,
    StateReason reason,
    Attribution attribution,
    Commission commission,
    Arithmetic arithmetic,
    HoldExplained hold,
    ReportFact report,
    PinnedTerms terms,
    Long nextDue) {

  /** Who is credited: HIGH, LOW with a reason, or, with neither, not known before {@code awaitedUntil}. */
  record Attribution(Confidence confidence, ConfidenceReason reason, Long awaitedUntil, int passed, ClickMeasured click) {
    static Attribution low(ConfidenceReason reason, int passed, ClickMeasured click) {
      return new Attribution(Confidence.LOW, reason, null, passed, click);
    }

    boolean isHigh() {
      return confidence == Confidence.HIGH;
    }
  }

  /** Derives an order at {@code now}; null while its report has not come. */
  static Derivation of(String merchant, OrderState order, Registry registry, long now) {
    ReportFact report = order.getReport();
    if (report == null) {
      return null;
    }
    Attribution attribution = attribute(merchant, order, registry, now);
    PinnedTerms terms = null;
    if (attribution.isHigh()) {
      terms = order.getTerms() == null
          ? registry.terms(merchant, report, order.getClick().getCampaignId(), orderedAt(report))
          : order.getTerms();
    }
    Arithmetic arithmetic = terms == null || terms.getRuleId() == null ? null : arithmetic(report, terms);
    Commission commission = arithmetic == null ? null
        : new Commission(arithmetic.getAmountMinor(), report.getCurrency(), terms.getLevel(), terms.getRuleId(), arithmetic.getRate());
    HoldExplained hold = terms == null ? null : hold(report, terms);
    StateReason reason = reason(report, attribution, commission != null, hold, now);
    ConversionState state = state(reason);
    Long nextDue = state == ConversionState.hold ? Long.valueOf(until(hold)) : attribution.awaitedUntil();
    return new Derivation(state, reason, attribution, commission, arithmetic, hold, report, terms, nextDue);
  }

  static long orderedAt(ReportFact report) {
    return report.getOrderedAt() == null ? report.getReceivedAt() : report.getOrderedAt();
  }

  Long holdUntil() {
    return hold == null ? null : Long.valueOf(until(hold));
  }

  CommissionState commissionState() {
    if (commission == null) {
      return null;
    }
    return switch (state) {
      case hold -> CommissionState.held;
      case payable -> CommissionState.payable;
      case paid -> CommissionState.paid;
      case rejected, reversed -> CommissionState.reversed;
      case received, attributed, commission_created -> CommissionState.created;
    };
  }

  /** What is kept of it once it is published. */
  Published published() {
    CommissionState commissionState = commissionState();
    long amount = commission == null ? 0 : commission.getAmountMinor();
    boolean pending = commissionState == CommissionState.created || commissionState == CommissionState.held;
    boolean payable = commissionState == CommissionState.payable;
    return new Published(
        state, attribution.confidence(), attribution.reason(), commissionState, commission == null ? null : Long.valueOf(amount),
        holdUntil(), report.getOrderStatus(), null, pending ? amount : 0, payable ? amount : 0);
  }

  private static Attribution attribute(String merchant, OrderState order, Registry registry, long now) {
    ReportFact report = order.getReport();
    if (report.getClickId() == null) {
      return Attribution.low(ConfidenceReason.no_click, 0, null);
    }
    ClickFact click = order.getClick();
    if (click == null || !click.getMerchantId().equals(merchant)) {
      Long until = order.getAwaitedUntil();
      if (until != null && now < until) {
        return new Attribution(null, null, until, 1, null);
      }
      return Attribution.low(click == null ? ConfidenceReason.click_unknown : ConfidenceReason.click_not_yours, 1, null);
    }
    PinnedTerms pinned = order.getTerms();
    long lookback = pinned == null ? registry.lookback(click.getCampaignId()) : pinned.getLookbackMs();
    long least = pinned == null ? registry.minClickToOrder(click.getCampaignId()) : pinned.getMinClickToOrderMs();
    ClickMeasured measured = new ClickMeasured(click.getClickedAt(), lookback, least, false);
    long apart = orderedAt(report) - click.getClickedAt();
    if (apart < 0) {
      return Attribution.low(ConfidenceReason.click_after_order, 2, measured);
    }
    if (apart > lookback) {
      return Attribution.low(ConfidenceReason.click_outside_window, 3, measured);
    }
    if (apart < least) {
      return Attribution.low(ConfidenceReason.click_too_recent, 5, measured);
    }
    return new Attribution(Confidence.HIGH, null, null, 6, measured);
  }

  /** What the rule that won pays for the order, rounded once. */
  private static Arithmetic arithmetic(ReportFact report, PinnedTerms terms) {
    String currency = report.getCurrency();
    long whole = Money.thousandths(currency, report.getAmountMinor());
    PaidBy paidBy = paidBy(report.getAmountMinor(), terms);
    Long flat = switch (paidBy) {
      case percentage -> null;
      case fixed -> terms.getFixedMinor();
      case minimum -> terms.getMinimumMinor();
      case cap -> terms.getCapMinor();
    };
    Money.Fraction fraction = flat == null
        ? Money.fraction(whole, terms.getRate(), Money.MILLION * Money.thousandths(currency, 1))
        : Money.fraction(flat, 1, 1);
    return new Arithmetic(
        paidBy, rate(terms.getRate()), flat, whole, fraction.numerator(), Long.toString(fraction.denominator()),
        fraction.rounding(), fraction.rounded());
  }

  private static PaidBy paidBy(long amount, PinnedTerms terms) {
    Integer rate = terms.getRate();
    if (rate == null) {
      return PaidBy.fixed;
    }
    if (terms.getMinimumMinor() != null && Money.compare(amount, rate, terms.getMinimumMinor(), Money.MILLION) < 0) {
      return PaidBy.minimum;
    }
    boolean capped = terms.getCapMinor() != null && Money.compare(amount, rate, terms.getCapMinor(), Money.MILLION) > 0;
    return capped ? PaidBy.cap : PaidBy.percentage;
  }

  private static String rate(Integer ppm) {
    if (ppm == null || ppm % 10_000 == 0) {
      return ppm == null ? null : Integer.toString(ppm / 10_000);
    }
    return BigDecimal.valueOf(ppm, 4).stripTrailingZeros().toPlainString();
  }

  private static HoldExplained hold(ReportFact report, PinnedTerms terms) {
    return switch (report.getOrderStatus()) {
      case confirmed, paid -> new HoldExplained(HoldWindow.settlement, report.getReceivedAt(), terms.getSettlementMs());
      case delivered -> new HoldExplained(HoldWindow.return$, report.getReceivedAt(), terms.getReturnMs());
      case pending, cancelled, returned, refunded -> null;
    };
  }

  private static long until(HoldExplained hold) {
    return hold.getSince() + hold.getWindowMs();
  }

  private static StateReason reason(ReportFact report, Attribution attribution, boolean commissioned, HoldExplained hold, long now) {
    switch (report.getOrderStatus()) {
      case cancelled, returned, refunded -> {
        return StateReason.reversed;
      }
      case pending, confirmed, paid, delivered -> {}
    }
    if (!attribution.isHigh()) {
      return attribution.confidence() == null ? StateReason.click_awaited : StateReason.not_attributed;
    }
    if (!commissioned) {
      return StateReason.no_rule;
    }
    if (hold == null) {
      return StateReason.hold_not_begun;
    }
    return now < until(hold) ? StateReason.on_hold : StateReason.hold_ended;
  }

  private static ConversionState state(StateReason reason) {
    return switch (reason) {
      case click_awaited, not_attributed -> ConversionState.received;
      case no_rule -> ConversionState.attributed;
      case hold_not_begun -> ConversionState.commission_created;
      case on_hold -> ConversionState.hold;
      case hold_ended, approved -> ConversionState.payable;
      case paid_out, payout_simulated -> ConversionState.paid;
      case rejected -> ConversionState.rejected;
      case reversed -> ConversionState.reversed;
    };
  }
}
