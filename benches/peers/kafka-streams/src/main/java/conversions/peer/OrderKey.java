package conversions.peer;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** The key of an order, {@code merchant/mode/order}, taken apart. */
record OrderKey(String text, String merchant, boolean livemode, String order) {
  static OrderKey parse(String text) {
    int first = text.indexOf('/');
    int second = text.indexOf('/', first + 1);
    return new OrderKey(text, text.substring(0, first), text.startsWith("live/", first + 1), text.substring(second + 1));
  }

  static String text(String merchant, boolean livemode, String order) {
    return merchant + '/' + mode(livemode) + '/' + order;
  }

  /** The key of an affiliate's accounts. */
  static String account(String affiliate, String currency, boolean livemode) {
    return affiliate + '/' + currency + '/' + mode(livemode);
  }

  /** The first half of the SHA-256 of the key, in hexadecimal. */
  String digest() {
    return sha256(text, 16);
  }

  /** The first bytes of a text's SHA-256, in hexadecimal. */
  static String sha256(String text, int bytes) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().formatHex(digest, 0, bytes);
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }

  private static String mode(boolean livemode) {
    return livemode ? "live" : "test";
  }
}
