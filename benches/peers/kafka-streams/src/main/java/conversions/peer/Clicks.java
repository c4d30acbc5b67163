package conversions.peer;

import conversions.ClickLookupRequested;
import conversions.ClickMatched;
import conversions.ClickRecorded;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/** The join of orders with clicks: keeps clicks, and answers orders that name one, at once or when the click comes. */
final class Clicks implements Processor<String, SpecificRecord, String, SpecificRecord> {
  static final String STORE = "clicks";
  static final String WAITING = "click-lookups-waiting";
  static final String TIMERS = "click-timers";
  private static final Duration TIMERS_EVERY = Duration.ofSeconds(1);
  /** Between a click's id and an order's key; no id has it. */
  private static final char SEPARATOR = '\0';

  private final Registry registry;
  private ProcessorContext<String, SpecificRecord> context;
  private KeyValueStore<String, ClickRecorded> clicks;
  private KeyValueStore<String, ClickLookupRequested> waiting;
  private Timers timers;

  Clicks(Registry registry) {
    this.registry = registry;
  }

  @Override
  public void init(ProcessorContext<String, SpecificRecord> context) {
    this.context = context;
    clicks = context.getStateStore(STORE);
    waiting = context.getStateStore(WAITING);
    timers = new Timers(context.getStateStore(TIMERS));
    context.schedule(TIMERS_EVERY, PunctuationType.WALL_CLOCK_TIME, now -> timers.take(now).forEach(this::forget));
  }

  @Override
  public void process(Record<String, SpecificRecord> record) {
    if (record.value() instanceof ClickRecorded click) {
      clicked(record.key(), click);
    } else if (record.value() instanceof ClickLookupRequested lookup) {
      ClickRecorded click = clicks.get(record.key());
      if (click != null) {
        answer(lookup, click);
        return;
      }
      String row = record.key() + SEPARATOR + order(lookup);
      waiting.put(row, lookup);
      timers.set(context.currentSystemTimeMs() + registry.clickRetention, row);
    }
  }

  private void clicked(String key, ClickRecorded click) {
    // One that comes again keeps its first form.
    if (clicks.get(key) != null) {
      return;
    }
    clicks.put(key, click);
    timers.set(context.currentSystemTimeMs() + registry.clickRetention, key);
    List<String> answered = new ArrayList<>(0);
    try (KeyValueIterator<String, ClickLookupRequested> rows = waiting.prefixScan(key + SEPARATOR, new StringSerializer())) {
      while (rows.hasNext()) {
        KeyValue<String, ClickLookupRequested> row = rows.next();
        answer(row.value, click);
        answered.add(row.key);
      }
    }
    answered.forEach(waiting::delete);
  }

  private void forget(String row) {
    if (row.indexOf(SEPARATOR) < 0) {
      clicks.delete(row);
    } else {
      waiting.delete(row);
    }
  }

  private void answer(ClickLookupRequested lookup, ClickRecorded click) {
    ClickMatched matched = new ClickMatched(lookup.getMerchantId(), lookup.getLivemode(), lookup.getExternalOrderId(), click);
    context.forward(new Record<>(order(lookup), (SpecificRecord) matched, context.currentSystemTimeMs()), Peer.CLICK_VERDICTS);
  }

  private static String order(ClickLookupRequested lookup) {
    return OrderKey.text(lookup.getMerchantId(), lookup.getLivemode(), lookup.getExternalOrderId());
  }
}
