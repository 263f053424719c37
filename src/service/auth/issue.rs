//! Tokens that a client gets for its secret: they say themselves whose they are and how long they hold, and any server of
//! the bucket with the same file takes them. Nothing is kept.
//!
//! `bm.<end, in seconds since 1970>.<signature>.<client>`, signed with the bucket's secret and with the digest of the
//! client's own: a client that is taken from the file, or whose secret changes, has no valid token any more; and whoever
//! can read the bucket (children may) has half of what it takes to make one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::tokens::{Entry, Tokens};
use crate::map::layout::flyte::{escape, unescape};

/// How long a token holds.
pub(super) const LIFE: Duration = Duration::from_secs(3600);

/// What every issued token begins with.
const PREFIX: &str = "bm.";

/// What the bucket's secret is used for here, and nowhere else.
pub(in crate::service) const CONTEXT: &str = "batchmap 2026-11 access tokens of clients";

/// Makes tokens and knows its own.
pub(super) struct Issuer {
    key: [u8; 32],
}

/// Why a token is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody has made it, or not for anybody who may call.
    Unknown,
    /// Its time is over.
    Expired,
}

impl Issuer {
    /// Signs with a key of the bucket's own, made for [`CONTEXT`].
    pub(super) fn new(key: [u8; 32]) -> Self {
        Issuer { key }
    }

    /// A token for a client, made at `now`.
    pub(super) fn issue(&self, client: &Entry, now: SystemTime) -> String {
        let until = seconds(now + LIFE);
        format!("{PREFIX}{until}.{}.{}", self.signature(client, until).to_hex(), escape(&client.name))
    }

    /// Whose token this is.
    pub(super) fn check(&self, token: &str, tokens: &Tokens, now: SystemTime) -> Result<String, Refusal> {
        let (until, signature, client) = parts(token).ok_or(Refusal::Unknown)?;
        // All lines of the client are looked at: one may have several secrets.
        let known = tokens.clients(&client).filter(|entry| self.signature(entry, until) == signature).count();
        match known {
            0 => Err(Refusal::Unknown),
            _ if seconds(now) > until => Err(Refusal::Expired),
            _ => Ok(client),
        }
    }

    fn signature(&self, client: &Entry, until: u64) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(client.hash().as_bytes()).update(&until.to_be_bytes()).update(client.name.as_bytes());
        hasher.finalize()
    }
}

fn parts(token: &str) -> Option<(u64, blake3::Hash, String)> {
    let mut parts = token.strip_prefix(PREFIX)?.splitn(3, '.');
    let until = parts.next()?.parse().ok()?;
    let signature = blake3::Hash::from_hex(parts.next()?).ok()?;
    Some((until, signature, unescape(parts.next()?)?))
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::super::tokens::{Kind, line};
    use super::*;

    fn tokens(secrets: &[(&str, &str)]) -> Tokens {
        let lines: Vec<String> = secrets.iter().map(|(id, secret)| line(Kind::Client, id, secret)).collect();
        Tokens::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn a_token_holds_for_its_client_and_its_time() {
        let issuer = Issuer::new([7; 32]);
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let known = tokens(&[("ci", "one"), ("ci", "two"), ("a.b/c", "three")]);
        for (id, secret) in [("ci", "one"), ("ci", "two"), ("a.b/c", "three")] {
            let token = issuer.issue(known.of_client(id, secret).unwrap(), now);
            assert_eq!(issuer.check(&token, &known, now + LIFE), Ok(id.to_owned()));
            assert_eq!(issuer.check(&token, &known, now + LIFE + Duration::from_secs(1)), Err(Refusal::Expired));
            // Another server of the bucket takes it, one of another bucket does not.
            assert_eq!(Issuer::new([7; 32]).check(&token, &known, now), Ok(id.to_owned()));
            assert_eq!(Issuer::new([8; 32]).check(&token, &known, now), Err(Refusal::Unknown));
            // Nor is it worth anything once its secret has gone.
            assert_eq!(issuer.check(&token, &tokens(&[(id, "new")]), now), Err(Refusal::Unknown));
            assert_eq!(issuer.check(&token, &Tokens::default(), now), Err(Refusal::Unknown));
        }
    }

    #[test]
    fn what_was_changed_is_nobodys() {
        let issuer = Issuer::new([7; 32]);
        let known = tokens(&[("ci", "one"), ("ci2", "one")]);
        let token = issuer.issue(known.of_client("ci", "one").unwrap(), UNIX_EPOCH);
        let longer = token.replace("bm.3600.", "bm.9999.");
        for wrong in [longer.as_str(), &format!("{token}2"), &token[1..], "bm.", "bm.1.2.3", ""] {
            assert_eq!(issuer.check(wrong, &known, UNIX_EPOCH), Err(Refusal::Unknown), "{wrong}");
        }
    }
}
