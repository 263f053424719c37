//! The certificates of authorities, where the image that the worker runs in has none: it brought its own.

use std::path::{Path, PathBuf};

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::map::inject::ROOTS;

/// Where systems keep them, in one file.
const FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where some keep them in many files.
const FOLDER: &str = "/etc/ssl/certs";

/// The variables that name others.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The system's file of them.
pub fn system() -> Option<PathBuf> {
    FILES.iter().map(PathBuf::from).find(|file| file.is_file())
}

/// A client that knows the authorities of the file beside this program; none where there is no such file, or the system
/// has its own, which then hold.
pub(super) fn client() -> Option<SharedHttpClient> {
    let beside = std::env::current_exe().ok()?.parent()?.join(ROOTS);
    if !beside.is_file() || VARIABLES.iter().any(|name| std::env::var_os(name).is_some_and(|it| !it.is_empty())) {
        return None;
    }
    let in_folder = || std::fs::read_dir(FOLDER).is_ok_and(|mut files| files.next().is_some());
    if system().is_some() || in_folder() {
        return None;
    }
    trusting(&beside)
}

fn trusting(file: &Path) -> Option<SharedHttpClient> {
    let problem = |problem: String| tracing::warn!("{} is of no use: {problem}", file.display());
    let pem = std::fs::read(file).map_err(|error| problem(error.to_string())).ok()?;
    // The client panics over what is no certificate.
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let known = certificates.is_ok_and(|all| {
        let mut roots = rustls::RootCertStore::empty();
        !all.is_empty() && all.into_iter().all(|one| roots.add(one).is_ok())
    });
    if !known {
        problem("it does not hold certificates of authorities alone".to_owned());
        return None;
    }
    let store = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|error| problem(error.to_string())).ok()?;
    let builder = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    Some(builder.tls_context(context).build_https())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_certificates_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(ROOTS);
        assert!(trusting(&file).is_none());
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(trusting(&file).is_none(), "{text:?}");
        }
        if let Some(system) = system() {
            assert!(trusting(&system).is_some());
        }
    }
}
