//! The errors that requests are answered: the codes of a status that come together, as an operation has them.

use std::time::Duration;

use utoipa::openapi::schema::{AllOfBuilder, ComponentsBuilder, ObjectBuilder, Ref, Type};
use utoipa::openapi::{Response, Schema};

use super::answers::{self, with_rate, with_request_id};
use super::words::one_of;
use crate::admin::{Act, Role};
use crate::auth::AuthError;
use crate::code::Code;
use crate::config::Config;
use crate::error::{Error, Shed};

/// Some codes of one status.
#[derive(Clone, Copy)]
pub(super) struct Refusal {
    /// The name of the answer.
    pub(super) name: &'static str,
    codes: &'static [Code],
    /// Whether its sender may have been let in, and so been counted.
    is_counted: bool,
    /// One of them.
    example: fn() -> Error,
}

macro_rules! refusals {
    ($($name:ident = $shown:literal, $is_counted:literal, [$($code:ident),+], $example:expr;)+) => {
        $(pub(super) const $name: Refusal = Refusal {
            name: $shown, codes: &[$(Code::$code),+], is_counted: $is_counted, example: || $example,
        };)+

        /// All of them.
        const ALL: &[Refusal] = &[$($name),+];
    };
}

refusals! {
    INVALID = "Invalid", true, [ValidationFailed, MalformedJson],
        Error::Validation(vec!["orderAmount is required: a decimal string such as \"2999.00\"".to_owned()]);
    BROKEN_OFF = "BrokenOff", false, [MalformedJson], Error::BodyBroken(String::new());
    NOT_SIGNED = "NotSigned", false, [InvalidApiKey, InvalidSignature, ExpiredTimestamp, ApiKeyDisabled, ApiKeyRevoked,
        ApiKeyExpired, MerchantNotApproved, IpNotAllowed, ReplayDetected], AuthError::InvalidSignature.into();
    NO_SERVICE = "NotTheService", false, [InvalidServiceToken], AuthError::InvalidServiceToken.into();
    NO_ADMIN = "NotAnAdministrator", false, [InvalidAdminToken, AdminTokenExpired], AuthError::InvalidAdminToken.into();
    FORBIDDEN = "Forbidden", false, [Forbidden], Error::Forbidden { role: Role::Auditor, act: Act::Review };
    LIVE_KEY = "LiveKey", true, [TestKeyRequired], Error::TestKeyRequired;
    CONFLICT = "ReviewConflict", false, [ReviewConflict], Error::ReviewConflict(
        "the conversion is hold as of revision 4, and approve by asha at 2026-06-14T09:30:00Z stands: read it again before you decide"
            .to_owned());
    PAYOUT_CONFLICT = "PayoutConflict", false, [PayoutConflict], Error::PayoutConflict(
        "the payout was reported failed at 2026-06-21T12:15:00Z: the first report counts, so what happened after it is to be settled outside"
            .to_owned());
    NOT_FOUND = "NotFound", true, [NotFound], Error::NotFound("no such conversion of this merchant in this mode");
    TOO_SLOW = "TooSlow", false, [RequestTimeout], Error::BodyTimeout(Config::default().body_deadline);
    TOO_LARGE = "TooLarge", false, [BodyTooLarge], Error::BodyTooLarge { bytes_max: Config::default().body_bytes_max };
    NO_JSON = "NotJson", true, [UnsupportedMediaType], Error::UnsupportedMediaType("Content-Type must be application/json");
    REUSED = "Reused", true, [IdempotencyKeyReused], Error::IdempotencyKeyReused;
    LIMITED = "RateLimited", true, [RateLimited], Error::RateLimited { retry_after: Duration::from_secs(4) };
    FAULT = "Fault", true, [Internal], Error::Internal(String::new());
    UNAVAILABLE = "Unavailable", true, [Unavailable],
        Error::Shed { bound: Shed::InFlight, retry_after: Config::default().retry_after };
}

impl Refusal {
    /// The status of its codes.
    pub(super) fn status(&self) -> u16 {
        self.codes[0].status().as_u16()
    }

    fn answer(&self) -> Response {
        let status = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([self.status()]));
        let of_these = ObjectBuilder::new()
            .property("statusCode", status)
            .property("code", one_of(self.codes.iter().map(|code| code.word())));
        let schema = AllOfBuilder::new().item(Ref::from_schema_name(answers::ERROR)).item(of_these).build();
        let mut content = answers::own(Schema::AllOf(schema));
        let example = (self.example)();
        content.example = serde_json::to_value(example.body("01977e2ac3d07b6c8a3f5d0e9b1c2a4f")).ok();
        let meanings = self.codes.iter().map(|code| format!("- `{}`: {}", code.word(), code.meaning()));
        let mut answer = with_request_id(answers::json(&meanings.collect::<Vec<_>>().join("\n"), content));
        if self.is_counted {
            answer = with_rate(answer);
        }
        if self.codes.iter().any(|code| matches!(code, Code::RateLimited | Code::Unavailable)) {
            answer = answer.header("Retry-After", answers::retry_after("After how many seconds to come again."));
        }
        answer.build()
    }
}

/// The answers of all of them.
pub(super) fn answers(components: ComponentsBuilder) -> ComponentsBuilder {
    ALL.iter().fold(components, |components, refusal| components.response(refusal.name, refusal.answer()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_come_together_have_one_status_and_an_example() {
        for refusal in ALL {
            assert!(refusal.codes.iter().all(|code| code.status().as_u16() == refusal.status()), "{}", refusal.name);
            assert!(refusal.codes.contains(&(refusal.example)().kind()), "{}", refusal.name);
        }
    }

    #[test]
    fn every_code_is_an_answer_of_something() {
        for code in Code::ALL {
            let is_described = ALL.iter().any(|refusal| refusal.codes.contains(code));
            // What a path does not have has no operation to be the answer of.
            assert_eq!(is_described, *code != Code::MethodNotAllowed, "{}", code.word());
        }
    }
}
