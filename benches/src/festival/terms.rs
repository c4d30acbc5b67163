//! The merchants of a rehearsal: whose orders there are, and what is paid for them. Known by number alone, so that the
//! registry that is written and the outcome that is expected are of the same terms.

use super::dice::Dice;
use super::scenario::Scenario;

/// Recorded clicks of each merchant.
pub(super) const CLICKS: u32 = 3;
/// In a million, paid where no other rule matches.
pub(super) const PLATFORM_PPM: i128 = 40_000;
/// Paid for [`Product::Red`].
pub(super) const RED_PPM: i128 = 120_000;
const MILLION: i128 = 1_000_000;

/// A currency that merchants have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Money {
    Npr,
    Jpy,
    Kwd,
}

impl Money {
    pub(super) fn code(self) -> &'static str {
        match self {
            Money::Npr => "NPR",
            Money::Jpy => "JPY",
            Money::Kwd => "KWD",
        }
    }

    fn decimals(self) -> usize {
        match self {
            Money::Npr => 2,
            Money::Jpy => 0,
            Money::Kwd => 3,
        }
    }

    /// Minor units, of which there are none below zero, as the contract writes amounts.
    pub(super) fn decimal(self, minor: u64) -> String {
        let decimals = self.decimals();
        if decimals == 0 {
            return minor.to_string();
        }
        let digits = format!("{minor:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        format!("{whole}.{fraction}")
    }
}

/// What an order is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    /// Nothing that a rule knows.
    Other,
    /// For which even merchants pay more.
    Red,
    /// For which nobody pays anything.
    Free,
}

impl Product {
    pub(super) fn id(self) -> &'static str {
        match self {
            Product::Other => "SKU-OTHER",
            Product::Red => "SKU-RED",
            Product::Free => "SKU-FREE",
        }
    }
}

/// What a rule pays for a whole order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pays {
    /// So many parts of a million.
    Ppm(i128),
    /// The same, but no less and no more than these minor units.
    Between { ppm: i128, minimum: i128, cap: i128 },
    /// Minor units.
    Fixed(i128),
}

/// A rule, as an order meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) level: &'static str,
    pub(super) pays: Pays,
}

/// One merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merchant(pub(super) u32);

impl Merchant {
    pub(super) fn id(self) -> String {
        format!("festival-{}", self.0)
    }

    pub(super) fn link(self) -> String {
        format!("festival-{}-link", self.0)
    }

    pub(super) fn click(self, number: u32) -> String {
        format!("clk_festival_{}_{number}", self.0)
    }

    pub(super) fn money(self) -> Money {
        match self.0 % 7 {
            3 => Money::Jpy,
            5 => Money::Kwd,
            _ => Money::Npr,
        }
    }

    /// What its orders of its campaign get, if it has a rule for that.
    pub(super) fn campaign(self) -> Option<Pays> {
        match (self.0 % 3, self.money()) {
            (1, Money::Npr) => Some(Pays::Between { ppm: 80_000, minimum: 2_500, cap: 20_000 }),
            (1, Money::Jpy) => Some(Pays::Fixed(150)),
            _ => None,
        }
    }

    /// What its other orders get, in a million, if it has a rule.
    pub(super) fn own_ppm(self) -> Option<i128> {
        const PPM: [i128; 4] = [100_000, 50_000, 72_500, 35_000];
        (self.0 % 5 != 4).then(|| PPM[usize::try_from(self.0 % 4).unwrap_or(0)])
    }

    pub(super) fn pays_more_for_red(self) -> bool {
        self.0.is_multiple_of(2)
    }

    /// The rule for an order of this product by one of its clicks.
    pub(super) fn terms(self, product: Product) -> Terms {
        let more = product == Product::Red && self.pays_more_for_red();
        match (product, self.campaign(), self.own_ppm()) {
            (Product::Free, _, _) => Terms { level: "product", pays: Pays::Ppm(0) },
            _ if more => Terms { level: "product", pays: Pays::Ppm(RED_PPM) },
            (_, Some(pays), _) => Terms { level: "campaign", pays },
            (_, None, Some(ppm)) => Terms { level: "merchant", pays: Pays::Ppm(ppm) },
            (_, None, None) => Terms { level: "platform", pays: Pays::Ppm(PLATFORM_PPM) },
        }
    }
}

impl Terms {
    /// The commission on an order of which some is refunded, in minor units: the percentage of what is left, or as much of
    /// what does not depend on the amount as is left of the order; rounded half to even, once.
    pub(super) fn commission(self, amount: u64, refunded: u64) -> u64 {
        let (whole, left) = (i128::from(amount), i128::from(amount) - i128::from(refunded));
        let (numerator, denominator) = match self.pays {
            Pays::Fixed(minor) => (minor * left, whole),
            Pays::Between { ppm, minimum, .. } if whole * ppm < minimum * MILLION => (minimum * left, whole),
            Pays::Between { ppm, cap, .. } if whole * ppm > cap * MILLION => (cap * left, whole),
            Pays::Ppm(ppm) | Pays::Between { ppm, .. } => (left * ppm, MILLION),
        };
        half_even(numerator, denominator)
    }
}

fn half_even(numerator: i128, denominator: i128) -> u64 {
    let (down, rest) = (numerator / denominator, numerator % denominator);
    let up = 2 * rest > denominator || (2 * rest == denominator && down % 2 == 1);
    u64::try_from(down + i128::from(up)).expect("a part of an amount is an amount")
}

/// Which merchant an order is of: the first one's part besides, and the rest by Zipf's law.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    hot_per_mille: u32,
    /// The sums of the weights.
    sums: Vec<u64>,
}

impl Crowd {
    pub(super) fn of(scenario: &Scenario) -> Crowd {
        let mut sum = 0;
        let weights = (1..=scenario.merchants).map(|rank| {
            sum += weight(rank, scenario.zipf_hundredths);
            sum
        });
        Crowd { hot_per_mille: scenario.hot_per_mille, sums: weights.collect() }
    }

    pub(super) fn pick(&self, dice: &mut Dice) -> Merchant {
        if dice.per_mille(self.hot_per_mille) {
            return Merchant(0);
        }
        let drawn = dice.below(self.sums.last().copied().unwrap_or(0));
        Merchant(
            u32::try_from(self.sums.partition_point(|sum| *sum <= drawn)).expect("no more than there are merchants"),
        )
    }
}

#[allow(clippy::float_arithmetic, reason = "the weight of a merchant in a load, and no money")]
fn weight(rank: u32, zipf_hundredths: u32) -> u64 {
    let weight = f64::from(rank).powf(-f64::from(zipf_hundredths) / 100.0);
    // At least one in ten thousand merchants to the third power would be none.
    (weight * 1e12) as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(zipf_hundredths: u32, hot_per_mille: u32) -> Vec<u32> {
        let scenario = Scenario { merchants: 100, zipf_hundredths, hot_per_mille, ..Scenario::example() };
        let (crowd, mut dice) = (Crowd::of(&scenario), Dice::of(1, 2, 3));
        let mut counts = vec![0; 100];
        for _ in 0..100_000 {
            counts[usize::try_from(crowd.pick(&mut dice).0).expect("small")] += 1;
        }
        counts
    }

    #[test]
    fn merchants_have_their_shares() {
        // 1 / (1 + 1/2 + … + 1/100) = 0.1928
        let zipf = shares(100, 0);
        assert!((18_700..19_900).contains(&zipf[0]), "{}", zipf[0]);
        assert!((9_200..10_100).contains(&zipf[1]), "{}", zipf[1]);
        assert!((100..300).contains(&zipf[99]), "{}", zipf[99]);
        let even = shares(0, 0);
        assert!(even.iter().all(|count| (850..1_150).contains(count)), "{even:?}");
        let hot = shares(100, 900);
        assert!((91_200..92_700).contains(&hot[0]), "{}", hot[0]);
    }

    #[test]
    fn amounts_as_the_contract_writes_them() {
        assert_eq!(Money::Npr.decimal(5), "0.05");
        assert_eq!(Money::Npr.decimal(299_900), "2999.00");
        assert_eq!(Money::Jpy.decimal(150), "150");
        assert_eq!(Money::Kwd.decimal(1_005), "1.005");
    }

    #[test]
    fn commissions() {
        let check = |pays, amount, refunded, expected| {
            assert_eq!(
                Terms { level: "x", pays }.commission(amount, refunded),
                expected,
                "{pays:?} {amount} {refunded}"
            )
        };
        check(Pays::Ppm(120_000), 299_900, 0, 35_988);
        check(Pays::Ppm(500_000), 1, 0, 0);
        check(Pays::Ppm(500_000), 3, 0, 2);
        check(Pays::Ppm(100_000), 1_000, 250, 75);
        check(Pays::Fixed(150), 1_000, 0, 150);
        check(Pays::Fixed(150), 1_000, 500, 75);
        let between = Pays::Between { ppm: 80_000, minimum: 2_500, cap: 20_000 };
        check(between, 10_000, 0, 2_500);
        check(between, 10_000, 5_000, 1_250);
        check(between, 31_250, 0, 2_500);
        check(between, 100_000, 50_000, 4_000);
        check(between, 1_000_000, 0, 20_000);
        check(between, 1_000_000, 250_000, 15_000);
    }

    #[test]
    fn every_level_has_merchants() {
        let levels = |product: Product| {
            let mut levels: Vec<&str> = (0..12).map(|number| Merchant(number).terms(product).level).collect();
            levels.sort_unstable();
            levels.dedup();
            levels
        };
        assert_eq!(levels(Product::Other), ["campaign", "merchant", "platform"]);
        assert_eq!(levels(Product::Red), ["campaign", "merchant", "platform", "product"]);
        assert_eq!(levels(Product::Free), ["product"]);
    }
}
