//! Endpoints: where merchants are told of what becomes of their conversions.

use std::collections::BTreeMap;

use super::Secret;
use crate::Timestamp;

/// Most endpoints of one merchant and mode.
pub const ENDPOINTS_OF_A_MERCHANT_MAX: usize = 8;

/// Where a merchant is told, by HTTP, of every change of its conversions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The id, a name by [`crate::ids::check_name`].
    pub id: String,
    /// Whose it is.
    pub merchant_id: String,
    /// Whether it is told of live conversions, or of those of the test namespace.
    pub livemode: bool,
    /// The `http` or `https` URL that is posted to.
    pub url: String,
    /// Signing secrets, `whsec_` and Base64, the present one first; while they are changed there are two, and none where
    /// they were left encrypted.
    pub secrets: Vec<Secret>,
    /// Whether its operator has disabled it.
    pub disabled: bool,
    /// Since when it is to be enabled, though it was disabled before for its failures.
    pub enabled_at: Option<Timestamp>,
}

/// All endpoints.
#[derive(Clone, Debug, Default)]
pub struct EndpointBook {
    by_id: BTreeMap<String, Endpoint>,
    /// Ids by merchant and mode.
    by_merchant: BTreeMap<(String, bool), Vec<String>>,
}

impl FromIterator<Endpoint> for EndpointBook {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> EndpointBook {
        let mut book = EndpointBook::default();
        for endpoint in endpoints {
            let merchant = (endpoint.merchant_id.clone(), endpoint.livemode);
            book.by_merchant.entry(merchant).or_default().push(endpoint.id.clone());
            book.by_id.insert(endpoint.id.clone(), endpoint);
        }
        book
    }
}

impl EndpointBook {
    /// An endpoint by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Endpoint> {
        self.by_id.get(id)
    }

    /// The endpoints of a merchant in a mode, at most [`ENDPOINTS_OF_A_MERCHANT_MAX`], in the order of the file.
    pub fn of(&self, merchant_id: &str, livemode: bool) -> impl Iterator<Item = &Endpoint> {
        let ids = self.by_merchant.get(&(merchant_id.to_owned(), livemode));
        ids.into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.by_id.values()
    }
}
