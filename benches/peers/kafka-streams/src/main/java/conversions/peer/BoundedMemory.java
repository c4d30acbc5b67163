package conversions.peer;

import java.util.Map;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Cache;
import org.rocksdb.Filter;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.WriteBufferManager;

/** One cache and one budget of write buffers for all stores, as the manual of Kafka Streams has it under "memory management". */
public final class BoundedMemory implements RocksDBConfigSetter {
  /** Of blocks and write buffers together. */
  private static final long CACHE_BYTES = 192L << 20;
  private static final long WRITE_BUFFERS_BYTES = 128L << 20;
  /** A buffer counts by its arena's blocks; with the default of a megabyte each, a hundred stores would flush without end. */
  private static final long ARENA_BLOCK_BYTES = 64L << 10;
  private static final int BLOOM_BITS = 10;

  private static final Cache CACHE = new LRUCache(CACHE_BYTES);
  private static final WriteBufferManager WRITE_BUFFERS = new WriteBufferManager(WRITE_BUFFERS_BYTES, CACHE);
  private static final Filter FILTER = new BloomFilter(BLOOM_BITS);

  @Override
  public void setConfig(String store, Options options, Map<String, Object> configs) {
    BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
    table.setBlockCache(CACHE);
    table.setFilterPolicy(FILTER);
    table.setCacheIndexAndFilterBlocks(true);
    table.setPinTopLevelIndexAndFilter(true);
    options.setWriteBufferManager(WRITE_BUFFERS);
    options.setArenaBlockSize(ARENA_BLOCK_BYTES);
    options.setTableFormatConfig(table);
  }

  @Override
  public void close(String store, Options options) {
    // What is shared stays open as long as the process.
  }
}
