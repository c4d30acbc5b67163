//! Coupons: whose a code is, and when.

use std::collections::BTreeMap;

use crate::Timestamp;

/// A code that an affiliate hands out, and that its merchant's shoppers enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupon {
    /// The id, a name.
    pub id: String,
    /// What shoppers enter, in any case: 1 to 64 visible ASCII characters.
    pub code: String,
    /// The merchant whose campaign it is.
    pub merchant_id: String,
    /// The campaign.
    pub campaign_id: String,
    /// The affiliate whose it is.
    pub affiliate_id: String,
    /// The first instant it holds for; from the beginning if absent.
    pub effective_from: Option<Timestamp>,
    /// The first instant it no longer holds for; for ever if absent.
    pub effective_until: Option<Timestamp>,
}

impl Coupon {
    /// Whether the coupon holds for an order placed at `ordered_at`.
    #[must_use]
    pub fn is_effective(&self, ordered_at: Timestamp) -> bool {
        self.effective_from.is_none_or(|from| from <= ordered_at)
            && self.effective_until.is_none_or(|until| ordered_at < until)
    }
}

/// All coupons by merchant and code. Of a merchant's coupons of one code at most one holds at any instant.
#[derive(Clone, Debug, Default)]
pub struct CouponBook(BTreeMap<(String, String), Vec<Coupon>>);

impl FromIterator<Coupon> for CouponBook {
    fn from_iter<I: IntoIterator<Item = Coupon>>(coupons: I) -> CouponBook {
        let mut book: BTreeMap<(String, String), Vec<Coupon>> = BTreeMap::new();
        for coupon in coupons {
            book.entry((coupon.merchant_id.clone(), folded(&coupon.code))).or_default().push(coupon);
        }
        CouponBook(book)
    }
}

impl CouponBook {
    /// The coupons of one merchant with this code, whatever its case.
    #[must_use]
    pub fn of(&self, merchant_id: &str, code: &str) -> &[Coupon] {
        self.0.get(&(merchant_id.to_owned(), folded(code))).map_or(&[], Vec::as_slice)
    }

    /// All coupons.
    pub fn iter(&self) -> impl Iterator<Item = &Coupon> {
        self.0.values().flatten()
    }
}

/// A code in the one case that codes are compared in.
pub(super) fn folded(code: &str) -> String {
    code.to_ascii_lowercase()
}
