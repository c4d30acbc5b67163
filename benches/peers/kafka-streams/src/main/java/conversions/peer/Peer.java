package conversions.peer;

import conversions.AccountState;
import conversions.ClickLookupRequested;
import conversions.ClickMatched;
import conversions.ClickRecorded;
import conversions.ConversionReported;
import conversions.LedgerEntry;
import conversions.OrderState;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.avro.Schema;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.LogAndContinueExceptionHandler;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The job of {@code conversions processors} as a Kafka Streams application: {@code --bootstrap SERVERS --prefix PREFIX
 * --registry FILE --state DIR [--threads N] [--commit-ms N]}. It says "running" once it is, and ends with TERM.
 */
public final class Peer {
  static final String CLICK_LOOKUPS = "click-lookups";
  static final String CLICK_VERDICTS = "click-verdicts";
  static final String TRANSITIONS = "transitions";
  static final String COMMISSIONS = "commissions";
  static final String LEDGER_ENTRIES = "ledger-entries";
  static final String CONVERSIONS = "conversions";
  private static final String CLICKS = "clicks";
  private static final String BALANCES = "balances";
  private static final long CACHE_BYTES = 64L << 20;

  private Peer() {}

  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = new HashMap<>();
    for (int index = 0; index + 1 < arguments.length; index += 2) {
      given.put(arguments[index], arguments[index + 1]);
    }
    String prefix = given.get("--prefix");
    Topology topology = topology(prefix, Registry.read(Path.of(given.get("--registry"))));
    KafkaStreams streams = new KafkaStreams(topology, properties(given));
    streams.setUncaughtExceptionHandler(error -> StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_APPLICATION);
    CountDownLatch ended = new CountDownLatch(1);
    streams.setStateListener((now, before) -> {
      if (now == KafkaStreams.State.RUNNING && before == KafkaStreams.State.REBALANCING) {
        System.out.println("running");
      } else if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
        ended.countDown();
      }
    });
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
    ended.await();
    if (streams.state() == KafkaStreams.State.ERROR) {
      System.exit(1);
    }
  }

  private static Properties properties(Map<String, String> given) {
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, given.get("--prefix") + "kafka-streams");
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("--bootstrap"));
    properties.put(StreamsConfig.STATE_DIR_CONFIG, given.get("--state"));
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, given.getOrDefault("--commit-ms", "100"));
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, given.getOrDefault("--threads", "1"));
    // An order that changes twice within a commit is one row of the changelog.
    properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, CACHE_BYTES);
    properties.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, BoundedMemory.class);
    properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, -1);
    properties.put(StreamsConfig.DESERIALIZATION_EXCEPTION_HANDLER_CLASS_CONFIG, LogAndContinueExceptionHandler.class);
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 2_000);
    // What one sub-topology writes and the next reads need not wait as long as the default, which is the commit's interval.
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 << 10);
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    return properties;
  }

  /** Three sub-topologies, joined by the topics that the product's processors are joined by. */
  private static Topology topology(String prefix, Registry registry) {
    StringDeserializer keys = new StringDeserializer();
    Topology topology = new Topology();
    Deserializer<SpecificRecord> facts = Avro.deserializer(ConversionReported.getClassSchema(), ClickMatched.getClassSchema());
    topology.addSource("order-facts", keys, facts, prefix + CONVERSIONS, prefix + CLICK_VERDICTS);
    topology.addProcessor("orders", () -> new Orders(registry), "order-facts");
    topology.addStateStore(store(Orders.STORE, Serdes.String(), Avro.serde(OrderState.getClassSchema())), "orders");
    topology.addStateStore(store(Orders.TIMERS, Serdes.Bytes(), Serdes.ByteArray()), "orders");
    for (String sink : new String[] {CLICK_LOOKUPS, TRANSITIONS, COMMISSIONS, LEDGER_ENTRIES}) {
      topology.addSink(sink, prefix + sink, new StringSerializer(), Avro.serializer(), "orders");
    }
    Deserializer<SpecificRecord> asked = Avro.deserializer(ClickRecorded.getClassSchema(), ClickLookupRequested.getClassSchema());
    topology.addSource("click-facts", keys, asked, prefix + CLICKS, prefix + CLICK_LOOKUPS);
    topology.addProcessor("clicks", () -> new Clicks(registry), "click-facts");
    topology.addStateStore(store(Clicks.STORE, Serdes.String(), Avro.serde(ClickRecorded.getClassSchema())), "clicks");
    topology.addStateStore(store(Clicks.WAITING, Serdes.String(), Avro.serde(ClickLookupRequested.getClassSchema())), "clicks");
    topology.addStateStore(store(Clicks.TIMERS, Serdes.Bytes(), Serdes.ByteArray()), "clicks");
    topology.addSink(CLICK_VERDICTS, prefix + CLICK_VERDICTS, new StringSerializer(), Avro.serializer(), "clicks");
    Deserializer<SpecificRecord> entries = Avro.deserializer(LedgerEntry.getClassSchema());
    topology.addSource("entries", keys, entries, prefix + LEDGER_ENTRIES);
    topology.addProcessor("ledger", Ledger::new, "entries");
    topology.addStateStore(store(Ledger.STORE, Serdes.String(), Avro.serde(AccountState.getClassSchema())), "ledger");
    topology.addSink(BALANCES, prefix + BALANCES, new StringSerializer(), Avro.serializer(), "ledger");
    return topology;
  }

  private static <K, V> StoreBuilder<KeyValueStore<K, V>> store(String name, Serde<K> keys, Serde<V> values) {
    return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), keys, values).withCachingEnabled();
  }
}
