package conversions.peer;

import conversions.Cause;
import conversions.CauseType;
import conversions.ClickLookupRequested;
import conversions.ClickMatched;
import conversions.ConversionReported;
import conversions.FactSource;
import conversions.OrderState;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;

/** Keeps the facts of each order, and publishes what changes in what follows from them. */
final class Orders implements Processor<String, SpecificRecord, String, SpecificRecord> {
  static final String STORE = "orders";
  static final String TIMERS = "order-timers";
  private static final Duration TIMERS_EVERY = Duration.ofMillis(100);

  private final Registry registry;
  private ProcessorContext<String, SpecificRecord> context;
  private KeyValueStore<String, OrderState> orders;
  private Timers timers;

  Orders(Registry registry) {
    this.registry = registry;
  }

  @Override
  public void init(ProcessorContext<String, SpecificRecord> context) {
    this.context = context;
    orders = context.getStateStore(STORE);
    timers = new Timers(context.getStateStore(TIMERS));
    context.schedule(TIMERS_EVERY, PunctuationType.WALL_CLOCK_TIME, now -> timers.take(now).forEach(this::due));
  }

  @Override
  public void process(Record<String, SpecificRecord> record) {
    OrderKey key = OrderKey.parse(record.key());
    OrderState order = orders.get(record.key());
    order = order == null ? Facts.empty() : order;
    if (record.value() instanceof ConversionReported report) {
      reported(key, order, report);
    } else if (record.value() instanceof ClickMatched matched && Facts.add(order, matched.getClick(), source())) {
      // That another merchant's click is known is not for this one to learn.
      boolean own = matched.getClick().getMerchantId().equals(key.merchant());
      settle(key, order, own ? cause(CauseType.click, null) : null, own);
    }
  }

  private void reported(OrderKey key, OrderState order, ConversionReported report) {
    if (!Facts.add(order, report, source(), registry.clickWait)) {
      return;
    }
    if (report.getClickId() != null) {
      long now = context.currentSystemTimeMs();
      ClickLookupRequested asked = new ClickLookupRequested(report.getClickId(), key.merchant(), key.livemode(), key.order(), now);
      context.forward(new Record<>(report.getClickId(), (SpecificRecord) asked, now), Peer.CLICK_LOOKUPS);
    }
    settle(key, order, cause(CauseType.reported, report.getEventId()), true);
  }

  private FactSource source() {
    RecordMetadata metadata = context.recordMetadata().orElseThrow();
    return new FactSource(metadata.partition(), metadata.offset());
  }

  private void due(String key) {
    OrderState order = orders.get(key);
    order.setTimer(null);
    boolean waiting = order.getPublished() != null && order.getPublished().getConfidence() == null;
    settle(OrderKey.parse(key), order, cause(waiting ? CauseType.click_wait_elapsed : CauseType.hold_elapsed, null), false);
  }

  /** Publishes what a change of the facts, or of time, has changed, and keeps the order. */
  private void settle(OrderKey key, OrderState order, Cause cause, boolean always) {
    long now = context.currentSystemTimeMs();
    long at = order.getDerivedAt() == null ? now : Math.max(now, order.getDerivedAt());
    Derivation derivation = Derivation.of(key.merchant(), order, registry, at);
    if (derivation != null) {
      order.setDerivedAt(at);
      new Change(context, key, order, derivation, at).publish(cause, always);
      reset(key, order, derivation.nextDue());
    }
    orders.put(key.text(), order);
  }

  private void reset(OrderKey key, OrderState order, Long due) {
    if (Objects.equals(order.getTimer(), due)) {
      return;
    }
    if (order.getTimer() != null) {
      timers.clear(order.getTimer(), key.text());
    }
    if (due != null) {
      timers.set(due, key.text());
    }
    order.setTimer(due);
  }

  static Cause cause(CauseType type, String eventId) {
    return new Cause(type, eventId, null, null, true, List.of(), null);
  }
}
