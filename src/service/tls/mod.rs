//! TLS on the service's port: certificate and key from PEM files, read again while the server runs.

mod listener;
mod validity;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

pub(super) use self::listener::TlsListener;

/// A file that a setting names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The setting, for errors: `--tls-cert`, or its place in a file.
    pub setting: String,
    /// The file.
    pub path: PathBuf,
}

/// Why certificate and key cannot be used: the setting, its file, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    file: NamedFile,
    problem: String,
    fix: &'static str,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TlsError { file, problem, fix } = self;
        write!(f, "{} is {}: {problem}; {fix}", file.setting, file.path.display())
    }
}

/// The server's certificate with its key, as they were read last.
#[derive(Debug)]
pub struct Certificates {
    cert: NamedFile,
    key: NamedFile,
    current: RwLock<Current>,
}

struct Current {
    /// What the files held: to tell whether they have changed.
    digest: blake3::Hash,
    certified: Arc<CertifiedKey>,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.write_str("Current")
    }
}

impl Certificates {
    /// Reads both files, and makes sure that they go together and are valid at `now`.
    ///
    /// # Errors
    /// With a sentence that names the setting, its file and what to do.
    pub fn open(cert: NamedFile, key: NamedFile, now: SystemTime) -> Result<Certificates, TlsError> {
        let current = RwLock::new(read(&cert, &key, now)?);
        Ok(Certificates { cert, key, current })
    }

    /// Reads the files again; whether they have changed. New connections get what was read, those there are go on.
    ///
    /// # Errors
    /// As [`Certificates::open`]; what was read before stays then.
    pub fn reload(&self, now: SystemTime) -> Result<bool, TlsError> {
        let new = read(&self.cert, &self.key, now)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.digest != new.digest;
        *current = new;
        Ok(changed)
    }

    /// What a TLS server of HTTP/2 and HTTP/1.1 is set up with.
    pub(super) fn server_config(self: Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let mut config = config.with_no_client_auth().with_cert_resolver(self);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).certified.clone())
    }
}

/// The one that AWS's SDK uses as well: the process has no other.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn read(cert: &NamedFile, key: &NamedFile, now: SystemTime) -> Result<Current, TlsError> {
    let (cert_pem, key_pem) = (read_file(cert)?, read_file(key)?);
    let wrong = |file: &NamedFile, problem: String, fix| TlsError { file: file.clone(), problem, fix };
    let chain: Result<Vec<CertificateDer<'static>>, pem::Error> = CertificateDer::pem_slice_iter(&cert_pem).collect();
    let chain = chain.map_err(|error| wrong(cert, format!("it is no PEM: {error}"), CERTIFICATE))?;
    let Some(own) = chain.first() else {
        return Err(wrong(cert, "it holds no certificate".to_owned(), CERTIFICATE));
    };
    in_its_time(own, now).map_err(|problem| wrong(cert, problem, "renew it, or mend this machine's clock"))?;
    let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(&key_pem, b"ENCRYPTED PRIVATE KEY") => {
            wrong(key, "the key in it is encrypted".to_owned(), "decrypt it: openssl pkey -in FILE -out NEW")
        }
        pem::Error::NoItemsFound => wrong(key, "it holds no private key".to_owned(), KEY),
        error => wrong(key, format!("it is no PEM: {error}"), KEY),
    })?;
    let certified = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let problem = format!("it is not the key of the certificate in {}", cert.path.display());
            wrong(key, problem, "give the key that the certificate was made for, and the server's certificate first")
        }
        error @ rustls::Error::InvalidCertificate(_) => wrong(cert, error.to_string(), CERTIFICATE),
        error => wrong(key, error.to_string(), KEY),
    })?;
    let mut digest = blake3::Hasher::new();
    digest.update(&cert_pem).update(&(cert_pem.len() as u64).to_be_bytes()).update(&key_pem);
    Ok(Current { digest: digest.finalize(), certified: Arc::new(certified) })
}

const CERTIFICATE: &str = "give the server's certificate in PEM (-----BEGIN CERTIFICATE-----), and those between it and \
                           its root after it";

const KEY: &str = "give a private key in PEM: PKCS#8, PKCS#1 or SEC1";

fn read_file(file: &NamedFile) -> Result<Vec<u8>, TlsError> {
    std::fs::read(&file.path).map_err(|error| {
        let problem = format!("cannot be read: {error}");
        TlsError { file: file.clone(), problem, fix: "give a file that the user of this process may read" }
    })
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Says so when a certificate's time is over, or has not begun.
fn in_its_time(certificate: &[u8], now: SystemTime) -> Result<(), String> {
    let Some(valid) = validity::of(certificate) else { return Ok(()) };
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    let shown = |at: i64| OffsetDateTime::from_unix_timestamp(at).map_or_else(|_| at.to_string(), |at| at.to_string());
    if now > valid.end {
        return Err(format!("the certificate's time was over at {}", shown(valid.end)));
    }
    if now < valid.start {
        return Err(format!("the certificate's time begins at {}", shown(valid.start)));
    }
    Ok(())
}
