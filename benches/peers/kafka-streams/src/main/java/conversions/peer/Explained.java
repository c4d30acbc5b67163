package conversions.peer;

import conversions.ClickCheck;
import conversions.ClickQuestion;
import conversions.Explanation;
import conversions.FactKind;
import conversions.FactPlace;
import conversions.FactSource;
import conversions.OrderState;
import conversions.PinnedTerms;
import java.util.ArrayList;
import java.util.List;

/** What a derivation came by, told with each of its transitions. */
final class Explained {
  private static final ClickQuestion[] QUESTIONS = ClickQuestion.values();

  private Explained() {}

  static Explanation of(OrderState order, Derivation derivation) {
    PinnedTerms terms = derivation.terms();
    return new Explanation(
        derivation.reason(), checks(derivation.attribution().passed()), derivation.attribution().click(), null, List.of(),
        terms == null ? List.of() : terms.getConsidered(), terms == null ? 0 : terms.getLeftOut(), derivation.arithmetic(),
        derivation.hold(), places(order, derivation));
  }

  /** The questions up to the one that the click failed. */
  private static List<ClickCheck> checks(int passed) {
    List<ClickCheck> checks = new ArrayList<>(QUESTIONS.length);
    for (int index = 0; index < QUESTIONS.length && index <= passed; index++) {
      checks.add(new ClickCheck(QUESTIONS[index], index < passed));
    }
    return checks;
  }

  private static List<FactPlace> places(OrderState order, Derivation derivation) {
    List<FactPlace> places = new ArrayList<>(2);
    String eventId = order.getReport().getEventId();
    places.add(place(FactKind.report, eventId, Peer.CONVERSIONS, order.getReport().getSource()));
    if (derivation.attribution().click() != null) {
      places.add(place(FactKind.click, null, Peer.CLICK_VERDICTS, order.getClick().getSource()));
    }
    return places;
  }

  private static FactPlace place(FactKind kind, String eventId, String topic, FactSource source) {
    return new FactPlace(kind, eventId, topic, source.getPartition(), source.getOffset());
  }
}
