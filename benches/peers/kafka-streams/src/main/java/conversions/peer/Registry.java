package conversions.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.dataformat.toml.TomlMapper;
import conversions.PinnedTerms;
import conversions.ReportFact;
import conversions.RuleConsidered;
import conversions.RuleLevel;
import conversions.RuleOutcome;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Path;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What conversions are derived under, from the product's registry file, which the product has checked. */
final class Registry {
  /** A rule; amounts in minor units. */
  record Rule(
      String id, RuleLevel level, String version, Integer ratePpm, Long fixed, Long minimum, Long cap, String currency, long from, long until) {
    /** What comes of it if none before it wins. */
    RuleOutcome outcome(long orderedAt, String orderCurrency) {
      if (orderedAt < from) {
        return RuleOutcome.not_yet_effective;
      }
      if (orderedAt >= until) {
        return RuleOutcome.no_longer_effective;
      }
      return currency == null || currency.equals(orderCurrency) ? RuleOutcome.won : RuleOutcome.other_currency;
    }
  }

  record Campaign(Long lookback, Long minClickToOrder) {}

  /** Most rules of which it is kept what came of them. */
  private static final int KEPT_MAX = 32;
  private static final int VERSION_BYTES = 8;
  private static final long SECOND = 1_000;
  private static final long DAY = 86_400 * SECOND;

  final long clickWait;
  final long settlement;
  final long returned;
  final long clickRetention;
  private final long lookback;
  private final long minClickToOrder;
  private final Map<String, Campaign> campaigns = new HashMap<>();
  private final Map<String, List<Rule>> rules = new HashMap<>();

  private Registry(JsonNode file) {
    JsonNode policies = file.path("policies");
    clickWait = duration(policies, "click_wait", 60 * SECOND);
    lookback = duration(policies, "lookback", 30 * DAY);
    settlement = duration(policies, "settlement_window", 30 * DAY);
    returned = duration(policies, "return_window", 14 * DAY);
    clickRetention = duration(policies, "click_retention", 120 * DAY);
    minClickToOrder = duration(policies, "min_click_to_order", 0L);
    for (JsonNode it : file.path("campaigns")) {
      Campaign campaign = new Campaign(duration(it, "lookback", null), duration(it, "min_click_to_order", null));
      campaigns.put(text(it, "id"), campaign);
    }
    for (JsonNode it : file.path("rules")) {
      rules.computeIfAbsent(scope(it), scope -> new ArrayList<>()).add(rule(it));
    }
    Comparator<Rule> latestFirst = Comparator.comparingLong(Rule::from).reversed();
    rules.values().forEach(list -> list.sort(latestFirst.thenComparing(Rule::id)));
  }

  static Registry read(Path path) throws IOException {
    return new Registry(new TomlMapper().readTree(path.toFile()));
  }

  long lookback(String campaign) {
    Campaign known = campaigns.get(campaign);
    return known == null || known.lookback() == null ? lookback : known.lookback();
  }

  long minClickToOrder(String campaign) {
    Campaign known = campaigns.get(campaign);
    return known == null || known.minClickToOrder() == null ? minClickToOrder : known.minClickToOrder();
  }

  /** The terms of an order: its windows, and the first rule that matches by product, campaign, merchant, platform. */
  PinnedTerms terms(String merchant, ReportFact report, String campaign, long orderedAt) {
    List<RuleConsidered> kept = new ArrayList<>();
    PinnedTerms terms = new PinnedTerms(
        null, null, null, null, null, null, lookback(campaign), minClickToOrder(campaign), false, settlement, returned, null,
        kept, 0);
    if (report.getExternalProductId() != null) {
      consider("product/" + merchant + '/' + report.getExternalProductId(), report.getCurrency(), orderedAt, terms);
    }
    consider("campaign/" + campaign, report.getCurrency(), orderedAt, terms);
    consider("merchant/" + merchant, report.getCurrency(), orderedAt, terms);
    consider("platform", report.getCurrency(), orderedAt, terms);
    return terms;
  }

  private void consider(String scope, String currency, long orderedAt, PinnedTerms terms) {
    for (Rule rule : rules.getOrDefault(scope, List.of())) {
      RuleOutcome alone = rule.outcome(orderedAt, currency);
      boolean wins = alone == RuleOutcome.won && terms.getRuleId() == null;
      if (wins) {
        terms.setLevel(rule.level());
        terms.setRuleId(rule.id());
        terms.setRate(rule.ratePpm());
        terms.setFixedMinor(rule.fixed());
        terms.setMinimumMinor(rule.minimum());
        terms.setCapMinor(rule.cap());
      }
      List<RuleConsidered> kept = terms.getConsidered();
      if (kept.size() == KEPT_MAX) {
        terms.setLeftOut(terms.getLeftOut() + 1);
        if (!wins) {
          continue;
        }
        kept.remove(KEPT_MAX - 1);
      }
      RuleOutcome outcome = alone == RuleOutcome.won && !wins ? RuleOutcome.outranked : alone;
      kept.add(new RuleConsidered(rule.level(), rule.id(), rule.version(), outcome));
    }
  }

  private static String scope(JsonNode rule) {
    return switch (text(rule, "level")) {
      case "product" -> "product/" + text(rule, "merchant") + '/' + text(rule, "product");
      case "campaign" -> "campaign/" + text(rule, "campaign");
      case "merchant" -> "merchant/" + text(rule, "merchant");
      default -> "platform";
    };
  }

  private static Rule rule(JsonNode it) {
    String currency = text(it, "currency");
    BigDecimal percent = it.has("percent") ? new BigDecimal(text(it, "percent")) : null;
    Integer ppm = percent == null ? null : percent.movePointRight(4).intValueExact();
    return new Rule(
        text(it, "id"), RuleLevel.valueOf(text(it, "level")), OrderKey.sha256(it.toString(), VERSION_BYTES), ppm,
        minor(it, "fixed", currency), minor(it, "minimum", currency), minor(it, "cap", currency), currency, from(it), until(it));
  }

  private static Long minor(JsonNode it, String field, String currency) {
    return it.has(field) ? Money.minor(currency, text(it, field)) : null;
  }

  private static long from(JsonNode it) {
    return it.has("effective_from") ? instant(text(it, "effective_from")) : Long.MIN_VALUE;
  }

  private static long until(JsonNode it) {
    return it.has("effective_until") ? instant(text(it, "effective_until")) : Long.MAX_VALUE;
  }

  private static long instant(String text) {
    return OffsetDateTime.parse(text).toInstant().toEpochMilli();
  }

  private static String text(JsonNode it, String field) {
    return it.has(field) ? it.get(field).asText() : null;
  }

  private static Long duration(JsonNode it, String field, Long preset) {
    if (!it.has(field)) {
      return preset;
    }
    String text = text(it, field);
    long number = Long.parseLong(text.substring(0, text.length() - 1));
    return number * switch (text.charAt(text.length() - 1)) {
      case 's' -> SECOND;
      case 'm' -> 60 * SECOND;
      case 'h' -> 3_600 * SECOND;
      default -> DAY;
    };
  }
}
