//! Administrators: who decides what no merchant may, each with a token of their own and a role.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use schemas::Timestamp;
use schemas::ids::check_name;
use sha2::{Digest, Sha256};

use crate::auth::AuthError;
use crate::error::Error;
use crate::hex;
use crate::service_token::bearer;

/// Most administrators: each costs every request of one a comparison.
const ADMINS_MAX: usize = 256;
const DIGEST_BYTES: usize = 32;
/// A shorter token could be guessed from its digest, so it is nobody's, whatever the list says.
const TOKEN_BYTES_MIN: usize = 32;

/// Who may do what on the admin API.
///
/// Made of a text with a line each: a name, a role, the SHA-256 of the token in hexadecimal and, if it ends, the instant
/// until which the token holds. So whoever reads the file can act as nobody.
#[derive(Clone)]
pub struct Admins(Arc<[Entry]>);

struct Entry {
    digest: [u8; DIGEST_BYTES],
    /// From then on the token is none any more.
    until: Option<Timestamp>,
    admin: Admin,
}

/// Whoever an act is done by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admin {
    /// The name that the audit log has.
    pub(crate) name: String,
    /// What that name may do.
    pub(crate) role: Role,
}

/// What an administrator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything.
    Administrator,
    /// Read, and decide conversions that wait for a review.
    Reviewer,
    /// Read.
    Auditor,
}

/// What a route of the admin API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Reads what there is to decide, and who decided what.
    Read,
    /// Decides a conversion that waits for a review.
    Review,
    /// Takes a decision or a reversal back.
    Reinstate,
    /// Says what became of a payout.
    Pay,
}

const ROLES: [Role; 3] = [Role::Administrator, Role::Reviewer, Role::Auditor];

impl Role {
    /// Its word in the file and in the audit log.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Role::Administrator => "administrator",
            Role::Reviewer => "reviewer",
            Role::Auditor => "auditor",
        }
    }

    fn may(self, act: Act) -> bool {
        match (self, act) {
            (Role::Administrator, Act::Read | Act::Review | Act::Reinstate | Act::Pay)
            | (Role::Reviewer, Act::Read | Act::Review)
            | (Role::Auditor, Act::Read) => true,
            (Role::Reviewer, Act::Reinstate | Act::Pay) | (Role::Auditor, Act::Review | Act::Reinstate | Act::Pay) => {
                false
            }
        }
    }
}

impl Admin {
    /// Whether they may do this.
    ///
    /// # Errors
    /// The role does not have the act.
    pub(crate) fn check(&self, act: Act) -> Result<(), Error> {
        if self.role.may(act) { Ok(()) } else { Err(Error::Forbidden { role: self.role, act }) }
    }
}

impl Act {
    /// What it is called where it is refused.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Act::Read => "read reviews and payouts",
            Act::Review => "decide reviews",
            Act::Reinstate => "reinstate conversions",
            Act::Pay => "report what became of payouts",
        }
    }
}

/// What is wrong with a list of administrators. Repeats nothing of it: somebody may have written a token there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminsError {
    /// A line is no administrator.
    #[error("line {line} {must}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What it must be.
        must: &'static str,
    },
    /// Nobody is in it.
    #[error("names nobody: a line each with a name, a role and the SHA-256 of a token")]
    Nobody,
    /// Too many are in it.
    #[error("must have at most {ADMINS_MAX} administrators")]
    TooMany,
}

impl Admins {
    /// Reads a list; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// A line is no administrator, two have one name or one token, or nobody is in it.
    pub fn parse(text: &str) -> Result<Admins, AdminsError> {
        let mut entries: Vec<Entry> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refused = |must| AdminsError::Line { line: index + 1, must };
            let entry = entry(line).map_err(refused)?;
            if entries.iter().any(|it| it.admin.name == entry.admin.name) {
                return Err(refused("must have a name of its own: another line has it too"));
            }
            if entries.iter().any(|it| it.digest == entry.digest) {
                return Err(refused("must have a token of its own: another line has it too"));
            }
            entries.push(entry);
        }
        match entries.len() {
            0 => Err(AdminsError::Nobody),
            1..=ADMINS_MAX => Ok(Admins(entries.into())),
            _ => Err(AdminsError::TooMany),
        }
    }

    /// Whoever sends a request at `now`.
    ///
    /// # Errors
    /// The token is nobody's, or its time is over.
    pub(crate) fn who(&self, headers: &HeaderMap, now: Timestamp) -> Result<&Admin, AuthError> {
        let token = bearer(headers);
        let sent: [u8; DIGEST_BYTES] = Sha256::digest(token).into();
        // Every entry is looked at to its end: the time taken tells neither how much of a digest fits nor whose it is.
        let found = self.0.iter().fold(None, |found, it| if is_equal(&it.digest, &sent) { Some(it) } else { found });
        let found = found.filter(|_| token.len() >= TOKEN_BYTES_MIN).ok_or(AuthError::InvalidAdminToken)?;
        if found.until.is_some_and(|until| until <= now) {
            return Err(AuthError::AdminTokenExpired);
        }
        Ok(&found.admin)
    }
}

fn entry(line: &str) -> Result<Entry, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, role, digest, until) = match words[..] {
        [name, role, digest] => (name, role, digest, None),
        [name, role, digest, until] => (name, role, digest, Some(until)),
        _ => return Err("must have a name, a role, the SHA-256 of a token and perhaps its end, with spaces between"),
    };
    check_name(name).map_err(|_| "must begin with a name of 1 to 64 letters, digits, '_' or '-'")?;
    let role = ROLES.into_iter().find(|it| it.word() == role);
    let role = role.ok_or("must have one of the roles administrator, reviewer and auditor")?;
    let digest = hex::decode_small(digest)
        .ok_or("must have a SHA-256 of 64 small hexadecimal digits, as `printf %s TOKEN | sha256sum` prints")?;
    if digest == <[u8; DIGEST_BYTES]>::from(Sha256::digest(b"")) {
        return Err("must be of a token: this is the SHA-256 of nothing");
    }
    let until = until.map(Timestamp::parse).transpose();
    let until = until.map_err(|_| "must end with when the token ends, as 2026-12-31T00:00:00Z, or with its SHA-256")?;
    Ok(Entry { digest, until, admin: Admin { name: name.to_owned(), role } })
}

fn is_equal(a: &[u8; DIGEST_BYTES], b: &[u8; DIGEST_BYTES]) -> bool {
    a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

impl fmt::Debug for Admins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admins({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn digest(token: &str) -> String {
        Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn line(name: &str, role: &str, token: &str) -> String {
        format!("{name} {role} {}\n", digest(token))
    }

    #[track_caller]
    fn check(role: &str, header: Option<&str>, act: Act, expected: Result<(), &str>) {
        let text = format!("# who\n\n{}{}", line("first", "auditor", "another token"), line("asha", role, TOKEN));
        let admins = Admins::parse(&text).expect("two administrators");
        let headers = header.map(|value| (AUTHORIZATION, value.parse().expect("a header"))).into_iter().collect();
        let found = admins.who(&headers, Timestamp(0));
        let checked = found.map_err(Error::from).and_then(|admin| admin.check(act));
        assert_eq!(checked.map_err(|error| error.code()), expected, "{role} {header:?} {act:?}");
        if let Ok(admin) = found {
            assert_eq!((&*admin.name, admin.role.word()), ("asha", role));
        }
    }

    #[test]
    fn a_token_is_somebodys_and_a_role_is_what_it_may_do() {
        let bearer = format!("Bearer {TOKEN}");
        for (role, review, reinstate) in
            [("administrator", true, true), ("reviewer", true, false), ("auditor", false, false)]
        {
            let told = |may| if may { Ok(()) } else { Err("FORBIDDEN") };
            check(role, Some(&bearer), Act::Read, Ok(()));
            check(role, Some(&bearer), Act::Review, told(review));
            check(role, Some(&bearer), Act::Reinstate, told(reinstate));
        }
        for header in
            [TOKEN.to_owned(), "Bearer ".to_owned(), format!("{bearer}0"), format!("Bearer {}", digest(TOKEN))]
        {
            check("administrator", Some(&header), Act::Read, Err("INVALID_ADMIN_TOKEN"));
        }
        check("administrator", None, Act::Read, Err("INVALID_ADMIN_TOKEN"));
    }

    #[test]
    fn a_token_holds_until_its_end_and_a_short_one_never() {
        let headers = [(AUTHORIZATION, format!("Bearer {TOKEN}").parse().expect("a header"))].into_iter().collect();
        let text = format!("asha auditor {} 1970-01-01T00:00:01Z", digest(TOKEN));
        let admins = Admins::parse(&text).expect("an administrator");
        for (now, code) in
            [(0, None), (999, None), (1_000, Some("ADMIN_TOKEN_EXPIRED")), (i64::MAX, Some("ADMIN_TOKEN_EXPIRED"))]
        {
            let refused = admins.who(&headers, Timestamp(now)).err();
            assert_eq!(refused.map(|error| error.code()), code, "{now}");
        }
        let short = &TOKEN[1..];
        let admins = Admins::parse(&line("asha", "administrator", short)).expect("an administrator");
        let headers = [(AUTHORIZATION, format!("Bearer {short}").parse().expect("a header"))].into_iter().collect();
        let refused = admins.who(&headers, Timestamp(0)).err();
        assert_eq!(refused.map(|error| error.code()), Some("INVALID_ADMIN_TOKEN"));
    }

    #[test]
    fn a_list_is_refused_by_its_line_and_never_repeated() {
        let good = line("asha", "reviewer", TOKEN);
        for (text, told) in [
            (String::new(), "names nobody"),
            ("# nobody\n".to_owned(), "names nobody"),
            (format!("{good}bina reviewer\n"), "line 2 must have a name"),
            (format!("{good}bina reviewer {TOKEN}\n"), "line 2 must have a SHA-256"),
            (format!("{good}bina reviewer {} tomorrow\n", digest("x")), "line 2 must end with when the token ends"),
            (format!("{good}bina reviewer {} 2026-12-31T00:00:00Z {TOKEN}\n", digest("x")), "line 2 must have a name"),
            (format!("{good}{}", line("bina", "owner", "x")), "line 2 must have one of the roles"),
            (format!("{good}{}", line("bi.na", "reviewer", "x")), "line 2 must begin with a name"),
            (format!("{good}{}", line("asha", "auditor", "x")), "line 2 must have a name of its own"),
            (format!("{good}{}", line("bina", "auditor", TOKEN)), "line 2 must have a token of its own"),
            (line("asha", "reviewer", ""), "line 1 must be of a token"),
        ] {
            let error = Admins::parse(&text).expect_err(&text).to_string();
            assert!(error.starts_with(told) && !error.contains(TOKEN), "{error}");
        }
        let many: String = (0..=ADMINS_MAX).map(|it| line(&format!("a{it}"), "auditor", &format!("t{it}"))).collect();
        assert_eq!(Admins::parse(&many).err(), Some(AdminsError::TooMany));
        assert_eq!(format!("{:?}", Admins::parse(&good).expect("one")), "Admins(1)");
    }
}
