//! A certificate authority of the test's own, made with `openssl`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::skip;

/// An authority, a server's certificate that it has signed for `localhost` and 127.0.0.1, and the key.
pub struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// Makes them, for two days; nothing where there is no `openssl`.
    pub fn make() -> Option<Certificates> {
        if !Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|ran| ran.success()) {
            skip::skipped("there is no `openssl` to make certificates with");
            return None;
        }
        let made = Certificates { folder: tempfile::tempdir().unwrap() };
        std::fs::write(made.path("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        made.key_and("ca", &["-x509", "-days", "2", "-out", "ca.crt", "-addext", "keyUsage=critical,keyCertSign"]);
        made.renew();
        Some(made)
    }

    /// Makes another key and certificate of the server, in the place of those there are.
    pub fn renew(&self) {
        self.key_and("server", &["-out", "server.csr"]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.crt",
        ]);
    }

    /// One of `ca.crt`, `ca.key`, `server.crt` and `server.key`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key_and(&self, name: &str, more: &[&str]) {
        let key = format!("{name}.key");
        let subject = format!("/CN=batchmap-test-{name}");
        let fixed = [
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &key,
            "-subj",
            &subject,
        ];
        self.openssl(&[&fixed[..], more].concat());
    }

    fn openssl(&self, args: &[&str]) {
        let folder: &Path = self.folder.path();
        let ran = Command::new("openssl").args(args).current_dir(folder).output().unwrap();
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}
