package conversions.peer;

import conversions.Account;
import conversions.Cause;
import conversions.CauseType;
import conversions.ClickFact;
import conversions.CommissionChanged;
import conversions.ConfidenceReason;
import conversions.ConversionState;
import conversions.ConversionTransitioned;
import conversions.LedgerEntry;
import conversions.OrderState;
import conversions.Published;
import conversions.ReportFact;
import conversions.TimelineEntry;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** What is published of an order: the difference between what was published and what is derived now. */
final class Change {
  private static final List<ConversionState> FORWARD = List.of(
      ConversionState.received, ConversionState.attributed, ConversionState.commission_created,
      ConversionState.hold, ConversionState.payable, ConversionState.paid);

  private final ProcessorContext<String, SpecificRecord> context;
  private final OrderKey key;
  private final OrderState order;
  private final ReportFact report;
  private final Derivation derivation;
  private final long at;
  private final String digest;
  private int entries;

  Change(ProcessorContext<String, SpecificRecord> context, OrderKey key, OrderState order, Derivation derivation, long at) {
    this.context = context;
    this.key = key;
    this.order = order;
    this.report = order.getReport();
    this.derivation = derivation;
    this.at = at;
    this.digest = key.digest();
  }

  /** Publishes the change, if there is one, or if it is news though nothing changed. */
  void publish(Cause cause, boolean always) {
    Published before = order.getPublished();
    Published after = derivation.published();
    boolean differs = !after.equals(before);
    if (!always && !differs) {
      return;
    }
    List<TimelineEntry> timeline = timeline(cause, differs);
    order.setRevision(order.getRevision() + 1);
    if (differs) {
      order.setChangedIn(order.getRevision());
    }
    emit(Peer.TRANSITIONS, key.text(), transition(timeline));
    if (derivation.commission() != null && (before == null || commissionDiffers(before, after))) {
      emit(Peer.COMMISSIONS, key.text(), commission());
    }
    if (order.getClick() != null) {
      long pending = after.getPendingMinor() - (before == null ? 0 : before.getPendingMinor());
      long payable = after.getPayableMinor() - (before == null ? 0 : before.getPayableMinor());
      book(pending, payable);
    }
    order.setPublished(after);
    if (order.getTerms() == null) {
      order.setTerms(derivation.terms());
    }
  }

  private static boolean commissionDiffers(Published a, Published b) {
    return a.getCommissionState() != b.getCommissionState()
        || !Objects.equals(a.getCommissionMinor(), b.getCommissionMinor())
        || !Objects.equals(a.getHoldUntil(), b.getHoldUntil());
  }

  /** The states passed, or the present one again for a fact that changed none. */
  private List<TimelineEntry> timeline(Cause told, boolean differs) {
    ConversionState before = order.getPublished() == null ? null : order.getPublished().getState();
    List<ConversionState> states = path(before, derivation.state(), derivation.holdUntil() != null);
    if (states.isEmpty() && told != null) {
      states = List.of(derivation.state());
    }
    Cause news = told == null ? Orders.cause(CauseType.order_status, null) : told;
    news.setApplied(news.getApplied() && differs);
    List<TimelineEntry> entries = new ArrayList<>(states.size());
    for (ConversionState state : states) {
      boolean received = state == ConversionState.received && news.getType() == CauseType.reported;
      entries.add(new TimelineEntry(nextSeq(), state, received ? report.getReceivedAt() : at, news));
    }
    return entries;
  }

  private int nextSeq() {
    order.setSeq(order.getSeq() + 1);
    return order.getSeq();
  }

  private static List<ConversionState> path(ConversionState from, ConversionState to, boolean hasHold) {
    if (from == to) {
      return List.of();
    }
    int rank = from == null ? -1 : FORWARD.indexOf(from);
    int last = FORWARD.indexOf(to);
    if ((from == null || rank >= 0) && last > rank) {
      return FORWARD.subList(rank + 1, last + 1).stream().filter(it -> it != ConversionState.hold || hasHold).toList();
    }
    return from == null ? List.of(ConversionState.received, to) : List.of(to);
  }

  private ConversionTransitioned transition(List<TimelineEntry> timeline) {
    Derivation.Attribution attribution = derivation.attribution();
    ClickFact click = attribution.isHigh() ? order.getClick() : null;
    String suggested = attribution.reason() == ConfidenceReason.click_too_recent ? order.getClick().getAffiliateId() : null;
    return new ConversionTransitioned(
        "cnv_" + digest, order.getRevision(), order.getSeq(), report.getEventId(), key.merchant(), key.livemode(), key.order(),
        derivation.state(), attribution.confidence(), attribution.reason(), report.getClickId(),
        click == null ? null : click.getAffiliateId(), click == null ? null : click.getCampaignId(), suggested,
        report.getExternalProductId(), report.getAmountMinor(), report.getCurrency(), report.getOrderStatus(),
        Derivation.orderedAt(report), report.getReceivedAt(), report.getCouponCode(), report.getMetadata(), derivation.commission(),
        derivation.holdUntil(), null, 0, timeline, Explained.of(order, derivation), at);
  }

  private CommissionChanged commission() {
    ClickFact click = order.getClick();
    return new CommissionChanged(
        "cnv_" + digest, order.getRevision(), key.merchant(), key.livemode(), key.order(), click.getAffiliateId(), click.getCampaignId(),
        derivation.commissionState(), derivation.commission(), report.getAmountMinor(), null, derivation.holdUntil(), at);
  }

  /** Moves amounts between the affiliate's accounts first; what is left comes from, or goes back to, the merchant. */
  private void book(long pending, long payable) {
    long released = Math.max(Math.min(payable, -pending), 0);
    long withheld = Math.max(Math.min(pending, -payable), 0);
    move(Account.affiliate_pending, Account.affiliate_payable, released);
    move(Account.affiliate_payable, Account.affiliate_pending, withheld);
    pending += released - withheld;
    payable -= released - withheld;
    move(Account.merchant_receivable, Account.affiliate_pending, pending);
    move(Account.affiliate_pending, Account.merchant_receivable, -pending);
    move(Account.merchant_receivable, Account.affiliate_payable, payable);
    move(Account.affiliate_payable, Account.merchant_receivable, -payable);
  }

  private void move(Account debit, Account credit, long amount) {
    if (amount <= 0) {
      return;
    }
    String affiliate = order.getClick().getAffiliateId();
    String id = "led_" + digest + '_' + order.getRevision() + '_' + entries++;
    LedgerEntry entry = new LedgerEntry(
        id, "cnv_" + digest, order.getRevision(), key.merchant(), key.order(), affiliate, key.livemode(), debit, credit, amount, report.getCurrency(), at);
    emit(Peer.LEDGER_ENTRIES, OrderKey.account(affiliate, report.getCurrency(), key.livemode()), entry);
  }

  private void emit(String child, String recordKey, SpecificRecord value) {
    context.forward(new Record<>(recordKey, value, at), child);
  }
}
