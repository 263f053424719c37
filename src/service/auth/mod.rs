//! Who calls: tokens that flytekit's `authType` settings send.
//!
//! ```text
//! ExternalCommand  the command prints a token ────────────────────────────► flyte-authorization: Bearer TOKEN
//! ClientSecret     id and secret ─► POST /oauth2/token ─► an hour's token ─► the same
//! a browser, curl  Authorization: Basic NAME:TOKEN or ID:SECRET, for pages only
//! ```
//! What needs no token: the calls that tell how to get one, health and readiness, and signed addresses, which carry
//! their own proof.

mod gate;
mod issue;
mod oauth;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

pub(super) use self::gate::{Gate, gate};
pub(super) use self::issue::CONTEXT;
pub(super) use self::oauth::routes;
pub use self::tokens::{Kind, Tokens, check_name, line};

/// The header that clients are told to send: flytekit's usual one.
pub(super) const HEADER: &str = "flyte-authorization";

/// Where clients exchange their secret for a token.
pub(super) const TOKEN_PATH: &str = "/oauth2/token";

/// What is said to whoever sends no token.
pub(super) const NO_TOKEN: &str = "this server asks for a token: in flytekit's configuration set admin.authType to \
     ClientSecret (with admin.clientId and admin.clientSecretLocation) or to ExternalCommand (admin.command prints a token)";

/// The caller of a request, as the file of tokens names it.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub String);

/// The file of tokens, as it was read last.
#[derive(Debug)]
pub struct Roster {
    path: PathBuf,
    current: RwLock<Arc<Tokens>>,
}

impl Roster {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, a line is wrong, or it lets nobody in.
    pub fn open(path: &Path) -> Result<Roster, String> {
        let tokens = read(path)?;
        if tokens.is_empty() {
            return Err("it names nobody: `batchmap token NAME --file FILE` adds a line".to_owned());
        }
        Ok(Roster { path: path.to_owned(), current: RwLock::new(Arc::new(tokens)) })
    }

    /// Reads the file again; whether it has changed. From then on it alone counts: also when it lets nobody in.
    ///
    /// # Errors
    /// As [`Roster::open`]; what was read before stays then.
    pub fn reload(&self) -> Result<bool, String> {
        let new = read(&self.path)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **current != new;
        *current = Arc::new(new);
        Ok(changed)
    }

    /// Those who may call now.
    pub fn tokens(&self) -> Arc<Tokens> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(path: &Path) -> Result<Tokens, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    Tokens::parse(&text)
}
