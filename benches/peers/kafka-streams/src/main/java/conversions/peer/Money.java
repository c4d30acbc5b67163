package conversions.peer;

import conversions.Rounding;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Currency;

/** Amounts in minor units and in thousandths of a currency's unit; parts of them rounded half to even. */
final class Money {
  static final long MILLION = 1_000_000;
  private static final long[] POWERS = {1, 10, 100, 1_000};

  /** What an amount was rounded from, and how. */
  record Fraction(String numerator, long denominator, long rounded, Rounding rounding) {}

  private Money() {}

  static long thousandths(String currency, long minor) {
    return minor * POWERS[3 - Currency.getInstance(currency).getDefaultFractionDigits()];
  }

  static long minor(String currency, String decimal) {
    return new BigDecimal(decimal).movePointRight(Currency.getInstance(currency).getDefaultFractionDigits()).longValueExact();
  }

  /** {@code a * b / divisor}, none of which is negative, to the nearest whole number, of two the even one. */
  static Fraction fraction(long a, long b, long divisor) {
    if (Math.multiplyHigh(a, b) == 0 && a * b >= 0) {
      long product = a * b;
      return fraction(Long.toString(product), divisor, product / divisor, product % divisor);
    }
    BigInteger product = BigInteger.valueOf(a).multiply(BigInteger.valueOf(b));
    BigInteger[] parts = product.divideAndRemainder(BigInteger.valueOf(divisor));
    return fraction(product.toString(), divisor, parts[0].longValueExact(), parts[1].longValueExact());
  }

  private static Fraction fraction(String numerator, long divisor, long down, long rest) {
    long missing = divisor - rest;
    if (rest == 0) {
      return new Fraction(numerator, divisor, down, Rounding.exact);
    }
    if (rest == missing) {
      return new Fraction(numerator, divisor, down + (down & 1), Rounding.half_to_even);
    }
    return rest < missing
        ? new Fraction(numerator, divisor, down, Rounding.down)
        : new Fraction(numerator, divisor, down + 1, Rounding.up);
  }

  /** Compares two products. */
  static int compare(long a, long b, long c, long d) {
    return BigInteger.valueOf(a).multiply(BigInteger.valueOf(b)).compareTo(BigInteger.valueOf(c).multiply(BigInteger.valueOf(d)));
  }
}
