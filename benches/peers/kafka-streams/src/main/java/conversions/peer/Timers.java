package conversions.peer;

import java.nio.charset.StandardCharsets;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/** Timers of keys in a store of the task, by due time, so that they are as durable as what they are of. */
final class Timers {
  /** Most that fire at once, so that records are not kept waiting. */
  private static final int FIRED_MAX = 2_000;
  private static final byte[] SET = {};

  private final KeyValueStore<Bytes, byte[]> store;
  /** Nothing is due before; it saves a look into the store at each punctuation. */
  private long earliest = Long.MIN_VALUE;

  Timers(KeyValueStore<Bytes, byte[]> store) {
    this.store = store;
  }

  void set(long due, String key) {
    store.put(row(due, key), SET);
    earliest = Math.min(earliest, due);
  }

  void clear(long due, String key) {
    store.delete(row(due, key));
  }

  /** Takes the keys whose timers are due. */
  List<String> take(long now) {
    if (now < earliest) {
      return List.of();
    }
    List<Bytes> due = new ArrayList<>();
    earliest = Long.MAX_VALUE;
    try (KeyValueIterator<Bytes, byte[]> rows = store.all()) {
      while (rows.hasNext()) {
        Bytes row = rows.next().key;
        if (at(row) > now || due.size() == FIRED_MAX) {
          earliest = at(row);
          break;
        }
        due.add(row);
      }
    }
    due.forEach(store::delete);
    return due.stream().map(Timers::key).toList();
  }

  private static Bytes row(long due, String key) {
    byte[] bytes = key.getBytes(StandardCharsets.UTF_8);
    return Bytes.wrap(ByteBuffer.allocate(Long.BYTES + bytes.length).putLong(due).put(bytes).array());
  }

  private static long at(Bytes row) {
    return ByteBuffer.wrap(row.get()).getLong();
  }

  private static String key(Bytes row) {
    return new String(row.get(), Long.BYTES, row.get().length - Long.BYTES, StandardCharsets.UTF_8);
  }
}
