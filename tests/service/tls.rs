//! TLS on the service's port: HTTP/2 and HTTP/1.1, certificates that change, and those that cannot be used.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use batchmap::service::tls::{Certificates, NamedFile};
use batchmap::service::{Face, Service};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates;
use super::world::{PATIENT, World};

fn named(setting: &str, path: PathBuf) -> NamedFile {
    NamedFile { setting: setting.to_owned(), path }
}

fn open(made: &certificates::Certificates, cert: &str, key: &str) -> Result<Certificates, String> {
    open_at(made, cert, key, SystemTime::now())
}

fn open_at(made: &certificates::Certificates, cert: &str, key: &str, now: SystemTime) -> Result<Certificates, String> {
    let (cert, key) = (named("--tls-cert", made.path(cert)), named("--tls-key", made.path(key)));
    Certificates::open(cert, key, now).map_err(|error| error.to_string())
}

async fn connect(made: &certificates::Certificates, addr: SocketAddr, protocol: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(made.path("ca.crt")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

fn certificate(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_are_served_and_a_new_certificate_is_taken_up() {
    let Some(made) = certificates::Certificates::make() else { return };
    let world = World::new();
    let certificates = Arc::new(open(&made, "server.crt", "server.key").unwrap());
    let service = Service::open(world.host("server", world.line(), PATIENT)).await.unwrap();
    let service = service.facing(Face { tls: true, ..Face::default() });
    let bound = batchmap::service::server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let serving = bound.serve_tls(service.router(), certificates.clone()).unwrap();
    let addr = serving.addr();

    // Somebody who never says a word keeps nobody waiting.
    let silent = TcpStream::connect(addr).await.unwrap();
    let mut stream = connect(&made, addr, "http/1.1").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ready\n"), "{answer}");
    let old = {
        let stream = connect(&made, addr, "h2").await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        certificate(&stream)
    };
    // Nobody speaks to it in clear.
    let mut clear = TcpStream::connect(addr).await.unwrap();
    clear.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = clear.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    assert_eq!(certificates.reload(SystemTime::now()), Ok(false));
    made.renew();
    assert_eq!(certificates.reload(SystemTime::now()), Ok(true));
    assert_ne!(certificate(&connect(&made, addr, "h2").await), old);
    // What cannot be used is not taken up.
    std::fs::write(made.path("server.crt"), "").unwrap();
    assert!(certificates.reload(SystemTime::now()).is_err());
    assert_ne!(certificate(&connect(&made, addr, "h2").await), old);
    drop(silent);
    service.stop().await;
    serving.stop().await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_told_with_their_setting_and_what_to_do() {
    let Some(made) = certificates::Certificates::make() else { return };
    assert!(open(&made, "server.crt", "server.key").is_ok());
    std::fs::write(made.path("empty"), "").unwrap();
    std::fs::write(made.path("cut"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    std::fs::write(made.path("garbage"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    std::fs::write(
        made.path("locked"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    for (cert, key, words) in [
        ("none", "server.key", ["--tls-cert is ", "cannot be read"]),
        ("server.crt", "none", ["--tls-key is ", "cannot be read"]),
        ("server.key", "server.key", ["--tls-cert is ", "it holds no certificate"]),
        ("empty", "server.key", ["--tls-cert is ", "it holds no certificate"]),
        ("cut", "server.key", ["--tls-cert is ", "it is no PEM"]),
        ("garbage", "server.key", ["--tls-", "garbage"]),
        ("server.crt", "server.crt", ["--tls-key is ", "it holds no private key"]),
        ("server.crt", "locked", ["the key in it is encrypted", "openssl pkey"]),
        ("server.crt", "ca.key", ["--tls-key is ", "it is not the key of the certificate in"]),
    ] {
        let said = open(&made, cert, key).unwrap_err();
        assert!(words.iter().all(|word| said.contains(word)), "{cert}, {key}: {said}");
    }
    let day = Duration::from_secs(86_400);
    for (now, words) in
        [(SystemTime::now() + 3 * day, "time was over at 20"), (SystemTime::now() - day, "time begins at 20")]
    {
        let said = open_at(&made, "server.crt", "server.key", now).unwrap_err();
        assert!(said.contains("--tls-cert is ") && said.contains(words), "{said}");
    }
}
