//! Who may reach `batchmap serve`, and how: TLS, tokens, and the rules of addresses that other machines can reach.
//!
//! ```toml
//! # batchmap.toml; paths are taken from its folder
//! [serve]
//! tls_cert = "server.crt"
//! tls_key = "server.key"
//! public_url = "https://flyte.example.com"
//! [serve.auth]
//! tokens_file = "/etc/batchmap/tokens"
//! open_metrics = false
//! ```

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::cli::Failure;
use crate::cli::config::TargetArgs;
use crate::service::Face;
use crate::service::auth::Roster;
use crate::service::tls::{Certificates, NamedFile};

/// How often the files are looked at; SIGHUP does it at once.
const LOOK: Duration = Duration::from_secs(60);

/// Flags about access.
#[derive(Debug, clap::Args)]
pub struct AccessArgs {
    /// Serve over TLS, with this certificate (PEM, those between it and its root after it)
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    tls_key: Option<PathBuf>,
    /// Ask callers for a token, and take those of this file: `batchmap token` makes them
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    tokens_file: Option<PathBuf>,
    /// What clients are told to reach the server by, where that is not the address of their requests: behind a proxy
    #[arg(long, value_name = "URL", help_heading = "Access")]
    public_url: Option<String>,
    /// Let anybody read /metrics although callers are asked for a token
    #[arg(long, help_heading = "Access")]
    open_metrics: bool,
    /// Accept an address of --listen that other machines can reach without asking for tokens: whoever reaches it runs jobs
    /// in your account
    #[arg(long, help_heading = "Access")]
    allow_unauthenticated: bool,
    /// Accept such an address with tokens and without TLS: only behind a proxy that encrypts
    #[arg(long, help_heading = "Access")]
    allow_plaintext: bool,
}

/// The table `[serve]` of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServeTable {
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    public_url: Option<String>,
    auth: AuthTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuthTable {
    tokens_file: Option<PathBuf>,
    open_metrics: bool,
}

/// What was asked for, read and checked.
pub struct Access {
    /// How the service meets its clients.
    pub face: Face,
    /// The certificate, where it serves over TLS.
    pub certificates: Option<Arc<Certificates>>,
    tokens_file: Option<NamedFile>,
}

impl Access {
    /// Reads what flags and configuration name, for a listener on `ip`.
    ///
    /// # Errors
    /// A sentence naming the flag or the setting.
    pub fn open(args: &AccessArgs, target: &TargetArgs, ip: IpAddr) -> Result<Access, Failure> {
        let (place, table) = table(target)?;
        let named = |flag: &str, given: &Option<PathBuf>, name: &str, set: Option<PathBuf>| match given {
            Some(path) => Some(NamedFile { setting: flag.to_owned(), path: path.clone() }),
            None => set.map(|path| NamedFile {
                setting: format!("{}: {name}", place.display()),
                path: place.parent().unwrap_or(Path::new("")).join(path),
            }),
        };
        let cert = named("--tls-cert", &args.tls_cert, "serve.tls_cert", table.tls_cert);
        let key = named("--tls-key", &args.tls_key, "serve.tls_key", table.tls_key);
        let tokens = named("--tokens-file", &args.tokens_file, "serve.auth.tokens_file", table.auth.tokens_file);
        check_address(args, ip, cert.is_some(), tokens.is_some())?;
        let certificates = certificates(cert, key)?;
        let roster = tokens.as_ref().map(roster).transpose()?;
        let open_metrics = args.open_metrics || table.auth.open_metrics;
        let told = match (&args.public_url, table.public_url) {
            (Some(url), _) => Some(("--public-url".to_owned(), url.clone())),
            (None, url) => url.map(|url| (format!("{}: serve.public_url", place.display()), url)),
        };
        let public_url = told.map(|(setting, url)| address(&setting, &url)).transpose()?;
        let (tls, local) = (certificates.is_some(), ip.is_loopback());
        let face = Face { tls, public_url, roster, open_metrics, local };
        Ok(Access { face, certificates, tokens_file: tokens })
    }

    /// SIGHUP's coming, from now on, where there is something to be read again: elsewhere it ends the process as ever.
    pub fn hangups(&self) -> Option<Signal> {
        let any = self.certificates.is_some() || self.face.roster.is_some();
        // Without it the looks from time to time are left.
        any.then(|| signal(SignalKind::hangup()).ok()).flatten()
    }

    /// Reads the files again on SIGHUP, and from time to time; for as long as it is polled.
    pub async fn watch(&self, mut hangup: Option<Signal>) {
        if self.certificates.is_none() && self.face.roster.is_none() {
            return std::future::pending().await;
        }
        let mut turn = tokio::time::interval(LOOK);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        turn.tick().await;
        let mut told = [None, None];
        loop {
            tokio::select! {
                () = hung_up(&mut hangup) => told = [None, None],
                _ = turn.tick() => {}
            }
            let files = [self.renew_certificates(), self.renew_tokens()];
            for (told, news) in told.iter_mut().zip(files) {
                // What is wrong is said once, and not every minute.
                if news.is_some() && *told != news {
                    note!("{}", news.as_deref().unwrap_or_default());
                }
                *told = news;
            }
        }
    }

    fn renew_certificates(&self) -> Option<String> {
        match self.certificates.as_ref()?.reload(SystemTime::now()) {
            Ok(changed) => changed.then(|| "the certificate was read again".to_owned()),
            Err(error) => Some(format!("warning: {error}; the certificate that was read before is used on")),
        }
    }

    fn renew_tokens(&self) -> Option<String> {
        let (roster, file) = (self.face.roster.as_ref()?, self.tokens_file.as_ref()?);
        match roster.reload() {
            Ok(changed) => changed.then(|| format!("the tokens were read again: {} lines", roster.tokens().len())),
            Err(problem) => {
                Some(format!("warning: {}; the tokens that were read before are used on", shown(file, &problem)))
            }
        }
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The file's table for this command, and the file.
fn table(target: &TargetArgs) -> Result<(PathBuf, ServeTable), Failure> {
    let found = target.table("serve").map_err(|faults| Failure::input(faults.to_string()))?;
    let Some((place, table)) = found else { return Ok(Default::default()) };
    let table = serde_path_to_error::deserialize(table).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { format!(".{path}") };
        Failure::input(format!("{}: serve{path}: {}", place.display(), error.inner().message()))
    })?;
    Ok((place, table))
}

/// Loopback is everybody's own. Elsewhere whoever is not asked for a token runs jobs as us, and a token in clear is
/// anybody's.
fn check_address(args: &AccessArgs, ip: IpAddr, tls: bool, tokens: bool) -> Result<(), Failure> {
    if args.allow_unauthenticated && tokens {
        return Err(Failure::input("--allow-unauthenticated is given, and a tokens file: leave one of them out"));
    }
    if ip.is_loopback() {
        return Ok(());
    }
    if !tokens && !args.allow_unauthenticated {
        return Err(Failure::input(format!(
            "--listen is on {ip}: other machines may reach it, and whoever does runs jobs as you; give --tokens-file with \
             --tls-cert and --tls-key, an address of 127.0.0.0/8, or --allow-unauthenticated if that is what you want"
        )));
    }
    if tokens && !tls && !args.allow_plaintext {
        return Err(Failure::input(format!(
            "--listen is on {ip}: other machines may reach it, and tokens would cross the network in clear; give --tls-cert \
             and --tls-key, or --allow-plaintext behind a proxy that encrypts"
        )));
    }
    if !tokens {
        note!("warning: {ip} is not a loopback address and there is no access check");
    } else if !tls {
        note!("warning: {ip} is not a loopback address and tokens come in clear: let a proxy alone reach it");
    }
    Ok(())
}

fn certificates(cert: Option<NamedFile>, key: Option<NamedFile>) -> Result<Option<Arc<Certificates>>, Failure> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => {
            let opened = Certificates::open(cert, key, SystemTime::now());
            opened.map(|opened| Some(Arc::new(opened))).map_err(|error| Failure::input(error.to_string()))
        }
        (Some(given), None) => {
            Err(Failure::input(format!("{} is given without its key: give --tls-key too", given.setting)))
        }
        (None, Some(given)) => {
            Err(Failure::input(format!("{} is given without its certificate: give --tls-cert too", given.setting)))
        }
    }
}

fn roster(file: &NamedFile) -> Result<Arc<Roster>, Failure> {
    let roster = Roster::open(&file.path).map_err(|problem| Failure::input(shown(file, &problem)))?;
    if std::fs::metadata(&file.path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0) {
        note!("warning: {}", shown(file, "other users of this machine may read or change it; chmod 600 it"));
    }
    Ok(Arc::new(roster))
}

fn shown(file: &NamedFile, problem: &str) -> String {
    format!("{} is {}: {problem}", file.setting, file.path.display())
}

/// What addresses begin with: no path, for clients put their own after it.
fn address(setting: &str, url: &str) -> Result<String, Failure> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.is_empty() || host.contains(|c: char| "/?#@".contains(c) || c.is_whitespace()) {
        return Err(Failure::input(format!("{setting} is {url:?}: give it as https://HOST or https://HOST:PORT")));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Exit;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        access: AccessArgs,
        #[command(flatten)]
        target: TargetArgs,
    }

    fn open(flags: &[&str], ip: &str) -> Result<Access, String> {
        let cli = Cli::try_parse_from([&["x", "--config", "/dev/null"], flags].concat()).unwrap();
        opened(&cli, ip)
    }

    fn opened(cli: &Cli, ip: &str) -> Result<Access, String> {
        Access::open(&cli.access, &cli.target, ip.parse().unwrap()).map_err(|failure| {
            assert!(matches!(failure.exit, Exit::BadInput));
            failure.message
        })
    }

    fn tokens() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("token ann sha256:{}\n", "0".repeat(64))).unwrap();
        file
    }

    #[test]
    fn other_machines_need_tokens_and_tokens_need_tls() {
        let file = tokens();
        let tokens = ["--tokens-file", file.path().to_str().unwrap()];
        let (inside, outside) = ("127.0.0.1", "10.0.0.1");
        assert!(open(&[], inside).is_ok_and(|access| access.face.roster.is_none()));
        assert!(open(&tokens, "::1").is_ok_and(|access| access.face.roster.is_some()));
        assert!(open(&["--allow-unauthenticated"], outside).is_ok());
        assert!(open(&[&tokens[..], &["--allow-plaintext"]].concat(), outside).is_ok());
        for (flags, ip, words) in [
            (vec![], outside, "--allow-unauthenticated if that is what you want"),
            (vec![], "0.0.0.0", "other machines may reach it"),
            (vec!["--allow-plaintext"], outside, "--tokens-file"),
            (tokens.to_vec(), outside, "--allow-plaintext behind a proxy"),
            ([&tokens[..], &["--allow-unauthenticated"]].concat(), inside, "leave one of them out"),
            (vec!["--tls-cert", "c"], inside, "give --tls-key too"),
            (vec!["--tls-key", "c"], inside, "give --tls-cert too"),
            (vec!["--tls-cert", "none.pem", "--tls-key", "c"], inside, "--tls-cert is none.pem: cannot be read"),
            (vec!["--tokens-file", "none"], inside, "--tokens-file is none: cannot be read"),
            (vec!["--tokens-file", "/dev/null"], inside, "it names nobody"),
            (vec!["--public-url", "example.com"], inside, "https://HOST"),
            (vec!["--public-url", "https://a/b"], inside, "https://HOST"),
        ] {
            let said = open(&flags, ip).err().unwrap_or_default();
            assert!(said.contains(words), "{flags:?} on {ip}: {said}");
        }
        let url = open(&["--public-url", "https://a:8/"], inside).unwrap().face.public_url;
        assert_eq!(url.as_deref(), Some("https://a:8"));
    }

    #[test]
    fn the_file_may_say_it_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("batchmap.toml");
        std::fs::write(folder.path().join("tokens"), std::fs::read(tokens().path()).unwrap()).unwrap();
        let with = |text: &str, flags: &[&str]| {
            std::fs::write(&file, text).unwrap();
            let args = [&["x", "--config", file.to_str().unwrap()], flags].concat();
            opened(&Cli::try_parse_from(args).unwrap(), "127.0.0.1")
        };
        let text = "[serve]\npublic_url = 'http://a'\n[serve.auth]\ntokens_file = 'tokens'\nopen_metrics = true\n";
        let face = with(text, &[]).unwrap().face;
        assert_eq!(face.public_url.as_deref(), Some("http://a"));
        assert!(face.open_metrics && face.roster.is_some() && !face.tls);
        assert_eq!(with(text, &["--public-url", "http://b"]).unwrap().face.public_url.as_deref(), Some("http://b"));
        for (text, words) in [
            ("[serve]\ntls_crt = 'x'\n", "serve.tls_crt: unknown field"),
            ("[serve.auth]\nopen_metrics = 'x'\n", "serve.auth.open_metrics: invalid type"),
            ("[serve]\npublic_url = 'x'\n", "batchmap.toml: serve.public_url is \"x\": give it as https://HOST"),
            ("serve = 3\n", "batchmap.toml: serve: invalid type"),
            ("[serve.auth]\ntokens_file = 'none'\n", "batchmap.toml: serve.auth.tokens_file is "),
        ] {
            let said = with(text, &[]).err().unwrap_or_default();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
