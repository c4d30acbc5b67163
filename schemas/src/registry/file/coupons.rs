//! Coupons.

use std::collections::BTreeMap;

use super::Known;
use super::fields::{Fields, Text};
use super::rules::effective;
use crate::Timestamp;
use crate::ids::check_name;
use crate::registry::coupons::folded;
use crate::registry::{Campaign, Coupon};

/// Most characters of a code, as the edge takes it.
const CODE_CHARACTERS_MAX: usize = 64;

/// When the coupons of a merchant and code hold: by the first instant of each the first after it, and where it is given.
pub(super) type Held = BTreeMap<(String, String), BTreeMap<Timestamp, (Timestamp, usize)>>;

/// The merchant of a coupon is its campaign's.
pub(super) fn coupon<'a>(
    fields: &Fields<'a>,
    known: &mut Known<'a>,
    campaigns: &BTreeMap<String, Campaign>,
    held: &mut Held,
) -> Option<Coupon> {
    let id = known.coupons.declare(fields, check_name);
    let text = fields.required("code");
    let code = text.as_ref().and_then(|text| fields.parse(text, code));
    let campaign_id = known.campaigns.reference(fields, "campaign");
    let affiliate_id = known.affiliates.reference(fields, "affiliate");
    let (effective_from, effective_until) = effective(fields);
    let campaign = campaigns.get(campaign_id.as_deref()?)?;
    let coupon = Coupon {
        id: id?,
        code: code?,
        merchant_id: campaign.merchant_id.clone(),
        campaign_id: campaign.id.clone(),
        affiliate_id: affiliate_id?,
        effective_from,
        effective_until,
    };
    hold(fields, &text?, &coupon, held);
    Some(coupon)
}

fn code(text: &str) -> Result<String, String> {
    let fits = (1..=CODE_CHARACTERS_MAX).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!("must be 1 to {CODE_CHARACTERS_MAX} visible ASCII characters"))
}

/// Of two coupons of one code that hold at once, nobody could say whose an order is.
fn hold(fields: &Fields<'_>, code: &Text<'_>, coupon: &Coupon, held: &mut Held) {
    let from = coupon.effective_from.unwrap_or(Timestamp(i64::MIN));
    let until = coupon.effective_until.unwrap_or(Timestamp(i64::MAX));
    if from >= until {
        return;
    }
    let others = held.entry((coupon.merchant_id.clone(), folded(&coupon.code))).or_default();
    let before = others.range(..=from).next_back().filter(|(_, (until, _))| *until > from);
    let after = others.range(from..).next().filter(|(from, _)| **from < until);
    if let Some((_, (_, other))) = before.or(after) {
        let line = fields.line(*other);
        let remedy = format_args!(
            "must be the code of one of the merchant's coupons at a time, whatever its case, but the one on line {line} \
             holds then too"
        );
        fields.refuse(code, remedy);
        return;
    }
    others.insert(from, (until, code.at));
}
