//! The codes that errors have, each with its status and what it means: one list for answers, for the description and for
//! the page of the contract.

use axum::http::StatusCode;

macro_rules! codes {
    ($($code:ident = $word:literal, $status:ident, $meaning:literal;)+) => {
        /// What a failed request is answered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $(#[doc = $meaning] $code,)+
        }

        impl Code {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Code] = &[$(Code::$code),+];

            /// The code as it is written.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Code::$code => $word),+ }
            }

            /// The status that it comes with.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Code::$code => StatusCode::$status),+ }
            }

            /// What it tells the caller, as the end of a sentence.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Code::$code => $meaning),+ }
            }
        }
    };
}

codes! {
    InvalidApiKey = "INVALID_API_KEY", UNAUTHORIZED, "X-Api-Key is missing or names no key";
    InvalidSignature = "INVALID_SIGNATURE", UNAUTHORIZED, "X-Signature is missing or wrong";
    ExpiredTimestamp = "EXPIRED_TIMESTAMP", UNAUTHORIZED, "X-Timestamp is missing, no number, or too far from the server's time";
    ApiKeyDisabled = "API_KEY_DISABLED", UNAUTHORIZED, "the key is disabled";
    ApiKeyRevoked = "API_KEY_REVOKED", UNAUTHORIZED, "the key is revoked";
    ApiKeyExpired = "API_KEY_EXPIRED", UNAUTHORIZED, "the key has expired";
    MerchantNotApproved = "MERCHANT_NOT_APPROVED", UNAUTHORIZED, "the merchant is not approved for live keys yet";
    IpNotAllowed = "IP_NOT_ALLOWED", UNAUTHORIZED, "the key may not be used from this address";
    ReplayDetected = "REPLAY_DETECTED", UNAUTHORIZED, "the signature was taken before, and the key takes each once";
    InvalidServiceToken = "INVALID_SERVICE_TOKEN", UNAUTHORIZED, "the service token is missing or wrong";
    InvalidAdminToken = "INVALID_ADMIN_TOKEN", UNAUTHORIZED, "the token is missing, or no administrator's";
    AdminTokenExpired = "ADMIN_TOKEN_EXPIRED", UNAUTHORIZED, "the administrator's token has expired";
    Forbidden = "FORBIDDEN", FORBIDDEN, "the administrator's role may not do that";
    TestKeyRequired = "TEST_KEY_REQUIRED", FORBIDDEN, "the time of a live order cannot be moved: sign with a test key";
    ValidationFailed = "VALIDATION_FAILED", BAD_REQUEST, "fields, parameters or headers are not what they must be: message lists every fault";
    MalformedJson = "MALFORMED_JSON", BAD_REQUEST, "the body is no JSON object, or broke off";
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, "the body is not said to be application/json as it stands";
    BodyTooLarge = "BODY_TOO_LARGE", PAYLOAD_TOO_LARGE, "the body is over its limit";
    RequestTimeout = "REQUEST_TIMEOUT", REQUEST_TIMEOUT, "the body did not arrive in time";
    NotFound = "NOT_FOUND", NOT_FOUND, "nothing is here";
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, "the header Allow names the methods allowed here";
    ReviewConflict = "REVIEW_CONFLICT", CONFLICT, "the conversion was decided, or has changed, since it was read";
    PayoutConflict = "PAYOUT_CONFLICT", CONFLICT, "the payout has ended the other way";
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", UNPROCESSABLE_ENTITY, "the idempotency key was used with another body, or the event's id for another event or order";
    RateLimited = "RATE_LIMITED", TOO_MANY_REQUESTS, "the key's rate limit is reached; nothing was recorded";
    Unavailable = "UNAVAILABLE", SERVICE_UNAVAILABLE, "not done, or not known to be; a retry is safe";
    Internal = "INTERNAL", INTERNAL_SERVER_ERROR, "a fault of the server; a retry is safe";
}

#[cfg(test)]
mod tests {
    use super::Code;

    /// The rows of the contract's table of errors: the codes and the statuses of each.
    fn table() -> Vec<(Vec<String>, Vec<u16>)> {
        let page = include_str!("../../API.md");
        let (_, section) = page.split_once("\n## Errors\n").expect("the section is there");
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let rows = rows.take_while(|line| line.starts_with('|'));
        let row = |row: &str| {
            let mut cells = row.trim_matches('|').split('|');
            let codes = cells.next().unwrap_or_default().split('`').skip(1).step_by(2).map(str::to_owned).collect();
            let statuses = cells.next().unwrap_or_default().split(',');
            (codes, statuses.map(|status| status.trim().parse().expect("a status")).collect())
        };
        rows.map(row).collect()
    }

    #[test]
    fn the_page_of_the_contract_has_each_code_with_its_status() {
        let mut on_page = Vec::new();
        for (codes, statuses) in table() {
            assert!(statuses.len() == 1 || statuses.len() == codes.len(), "{codes:?} {statuses:?}");
            let one_for_each = statuses.iter().cycle();
            on_page.extend(codes.into_iter().zip(one_for_each.copied()));
        }
        let mut ours: Vec<_> = Code::ALL.iter().map(|code| (code.word().to_owned(), code.status().as_u16())).collect();
        on_page.sort();
        ours.sort();
        assert_eq!(on_page, ours);
    }
}
