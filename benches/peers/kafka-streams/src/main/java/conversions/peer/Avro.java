package conversions.peer;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.avro.specific.SpecificDatumWriter;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/**
 * Avro's single-object encoding, with what Avro's own message coders make anew for each record kept, for each thread: Kafka
 * Streams gives one serializer to all of them.
 */
final class Avro {
  private static final int HEADER_BYTES = 10;
  private static final byte[] MARKER = {(byte) 0xC3, 1};

  private Avro() {}

  /** Reads records of any of these schemas, told apart by the fingerprint. */
  static <R extends SpecificRecord> Deserializer<R> deserializer(Schema... schemas) {
    return new Reader<>(schemas);
  }

  /** Writes records of any schema. */
  static <R extends SpecificRecord> Serializer<R> serializer() {
    return new Writer<>();
  }

  /** Rows of one schema. */
  static <R extends SpecificRecord> Serde<R> serde(Schema schema) {
    return Serdes.serdeFrom(serializer(), deserializer(schema));
  }

  private static long fingerprint(Schema schema) {
    return SchemaNormalization.parsingFingerprint64(schema);
  }

  private static final class Reader<R extends SpecificRecord> implements Deserializer<R> {
    private final Map<Long, SpecificDatumReader<R>> readers = new HashMap<>();
    private final ThreadLocal<BinaryDecoder> decoders = new ThreadLocal<>();

    Reader(Schema... schemas) {
      for (Schema schema : schemas) {
        readers.put(fingerprint(schema), new SpecificDatumReader<>(schema));
      }
    }

    @Override
    public R deserialize(String topic, byte[] value) {
      if (value == null) {
        return null;
      }
      if (value.length < HEADER_BYTES || value[0] != MARKER[0] || value[1] != MARKER[1]) {
        throw new SerializationException(topic + ": a value has no Avro single-object header");
      }
      long found = ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN).getLong(MARKER.length);
      SpecificDatumReader<R> reader = readers.get(found);
      if (reader == null) {
        throw new SerializationException(topic + ": a value has the unknown schema " + Long.toHexString(found));
      }
      BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(value, HEADER_BYTES, value.length - HEADER_BYTES, decoders.get());
      decoders.set(decoder);
      try {
        return reader.read(null, decoder);
      } catch (IOException | RuntimeException error) {
        throw new SerializationException(topic + ": a value does not fit its schema", error);
      }
    }
  }

  private static final class Writer<R extends SpecificRecord> implements Serializer<R> {
    private final Map<Schema, byte[]> headers = new ConcurrentHashMap<>();
    private final Map<Schema, SpecificDatumWriter<R>> writers = new ConcurrentHashMap<>();
    private final ThreadLocal<ByteArrayOutputStream> buffers = ThreadLocal.withInitial(() -> new ByteArrayOutputStream(1024));
    private final ThreadLocal<BinaryEncoder> encoders = new ThreadLocal<>();

    @Override
    public byte[] serialize(String topic, R record) {
      if (record == null) {
        return null;
      }
      Schema schema = record.getSchema();
      ByteArrayOutputStream buffer = buffers.get();
      buffer.reset();
      buffer.writeBytes(headers.computeIfAbsent(schema, Writer::header));
      BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(buffer, encoders.get());
      encoders.set(encoder);
      try {
        writers.computeIfAbsent(schema, SpecificDatumWriter::new).write(record, encoder);
      } catch (IOException error) {
        throw new SerializationException(topic, error);
      }
      return buffer.toByteArray();
    }

    private static byte[] header(Schema schema) {
      return ByteBuffer.allocate(HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN).put(MARKER).putLong(fingerprint(schema)).array();
    }
  }
}
