//! Who may call: names with digests of their tokens and secrets, as a file has them.
//!
//! ```text
//! # batchmap token NAME --file FILE writes these
//! token  ann  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! client ci   sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
//! ```
//! A `token` is sent with every call; a `client` (its id, and its secret's digest) exchanges its secret for tokens that
//! hold for an hour. One name may stand in several lines, so that a secret can be changed without a pause.

use std::fmt;

use sha2::{Digest, Sha256};

/// Characters of a name.
const LONGEST_NAME: usize = 128;

/// Before a digest: a clear secret in its place must not pass for one.
const SHA256: &str = "sha256:";

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token that is sent with every call.
    Token,
    /// The secret of a client, which is exchanged for tokens.
    Client,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Token => "token",
            Kind::Client => "client",
        }
    }
}

/// One line of the file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Entry {
    kind: Kind,
    pub(super) name: String,
    digest: [u8; 32],
}

/// Those who may call.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    entries: Vec<Entry>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.entries.len())
    }
}

impl Tokens {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first line that is wrong: its number and what is wrong with it, without what it holds.
    pub fn parse(text: &str) -> Result<Tokens, String> {
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            entries.push(parse_line(line).map_err(|problem| format!("line {number}: {problem}"))?);
        }
        Ok(Tokens { entries })
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody may call.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whose token this is.
    pub fn of_token(&self, token: &str) -> Option<&str> {
        self.find(Kind::Token, token, |_| true).map(|entry| entry.name.as_str())
    }

    /// The client of this id, if this is a secret of it.
    pub(super) fn of_client(&self, id: &str, secret: &str) -> Option<&Entry> {
        self.find(Kind::Client, secret, |entry| entry.name == id)
    }

    /// The lines about this client.
    pub(super) fn clients<'t>(&'t self, id: &'t str) -> impl Iterator<Item = &'t Entry> {
        self.entries.iter().filter(move |entry| entry.kind == Kind::Client && entry.name == id)
    }

    /// Looks at every line, however early one fits: the time that it takes tells nothing.
    fn find(&self, kind: Kind, secret: &str, fits: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let given = blake3::Hash::from_bytes(digest(secret));
        let mut found = None;
        for entry in self.entries.iter().filter(|entry| entry.kind == kind) {
            // Compared as hashes are: in a time that does not tell how much of it was right.
            if entry.hash() == given && fits(entry) {
                found = Some(entry);
            }
        }
        found
    }
}

impl Entry {
    pub(super) fn hash(&self) -> blake3::Hash {
        blake3::Hash::from_bytes(self.digest)
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The line that a file has for a secret.
pub fn line(kind: Kind, name: &str, secret: &str) -> String {
    let digest: String = digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {name} {SHA256}{digest}", kind.word())
}

/// Whether a name can stand in a line.
///
/// # Errors
/// With what is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("it has {} characters: 1 to {LONGEST_NAME} are due", name.len()));
    }
    // A colon would end a client's id where it is sent with its secret.
    let fits = |c: char| c.is_ascii_graphic() && c != ':' && c != '#';
    match name.chars().find(|c| !fits(*c)) {
        None => Ok(()),
        Some(_) => Err("it may have letters of ASCII, digits and signs but for ':' and '#', and no blanks".to_owned()),
    }
}

fn parse_line(line: &str) -> Result<Entry, String> {
    let parts: Vec<&str> = line.split_ascii_whitespace().collect();
    let [kind, name, told] = parts[..] else {
        let found = parts.len();
        return Err(format!("it has {found} words: `token NAME sha256:DIGEST` or `client ID sha256:DIGEST` is due"));
    };
    let kind = match kind {
        "token" => Kind::Token,
        "client" => Kind::Client,
        _ => return Err("its first word is neither `token` nor `client`".to_owned()),
    };
    check_name(name).map_err(|problem| format!("the name: {problem}"))?;
    let bad = || {
        "the third word is not sha256: and 64 digits of hexadecimal; never write the secret itself: \
         `batchmap token NAME --file FILE` makes one and writes its digest"
            .to_owned()
    };
    let digits = told.strip_prefix(SHA256).ok_or_else(bad)?;
    let digest = *blake3::Hash::from_hex(digits.to_ascii_lowercase()).map_err(|_| bad())?.as_bytes();
    Ok(Entry { kind, name: name.to_owned(), digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_and_read() {
        let text = format!(
            "# comment\n\n {}\n{}\r\n{}\n",
            line(Kind::Token, "ann", "secret"),
            line(Kind::Client, "ci", "one"),
            line(Kind::Client, "ci", "other")
        );
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(tokens.len(), 3);
        assert_eq!((tokens.of_token("secret"), tokens.of_token("one"), tokens.of_token("")), (Some("ann"), None, None));
        for secret in ["one", "other"] {
            assert_eq!(tokens.of_client("ci", secret).map(|entry| entry.name.as_str()), Some("ci"));
        }
        assert!(tokens.of_client("ci", "secret").is_none() && tokens.of_client("ann", "secret").is_none());
        assert_eq!(
            line(Kind::Token, "t", "test"),
            "token t sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "as sha256sum tells it"
        );
        assert!(!format!("{tokens:?}").contains("ann"));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_without_the_secret() {
        let digest = "0".repeat(64);
        for (text, words) in [
            ("\ntoken ann hunter2\n".to_owned(), vec!["line 2", "never write the secret itself"]),
            ("token hunter2".to_owned(), vec!["line 1", "it has 2 words"]),
            (format!("user ann sha256:{digest}"), vec!["neither `token` nor `client`"]),
            (format!("token a:b sha256:{digest}"), vec!["':'"]),
            (format!("token ann sha256:{digest}0"), vec!["64 digits"]),
            (format!("token {} sha256:{digest}", "a".repeat(129)), vec!["129 characters"]),
        ] {
            let problem = Tokens::parse(&text).unwrap_err();
            assert!(words.iter().all(|word| problem.contains(word)) && !problem.contains("hunter2"), "{problem}");
        }
    }
}
