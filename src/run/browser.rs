//! Keeps web pages out of this program's servers. They run what they are told to run, for whoever reaches them; a page that
//! is open in a browser of this machine can send requests to loopback, too, and must not.
//!
//! A browser names the page in `Origin` with every request that could change something across sites; programs never send
//! it. A page whose own name is made to point at this machine (DNS rebinding) is told by its `Host`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Why a request is a web page's, by its `Origin` and `Host`; nothing for all others. `local` says that only this machine can
/// reach the server, which then has no name that a stranger could have given it.
pub fn refusal(origin: Option<&str>, host: Option<&str>, local: bool) -> Option<String> {
    match (origin, host) {
        (Some(origin), _) => {
            Some(format!("the web page {origin} sent this request, and web pages may not use this endpoint"))
        }
        (None, Some(host)) if local && !is_here(host) => Some(format!(
            "Host is {host}, and this endpoint listens on loopback only: call it by its address, localhost, or a name under \
             .localhost"
        )),
        _ => None,
    }
}

/// Whether a `Host` can mean this machine without a stranger's doing: an address, a name of one label, or one that no
/// public name server gives to a stranger.
fn is_here(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let six = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name.parse::<Ipv4Addr>().is_ok()
        || six.is_some_and(|name| name.parse::<Ipv6Addr>().is_ok())
        || !name.contains('.')
        || [".localhost", ".docker.internal", ".amazonaws.com"].iter().any(|suffix| name.ends_with(suffix))
        || bucket_of_address(&name)
}

/// `bucket.127.0.0.1`, as some clients address buckets.
fn bucket_of_address(name: &str) -> bool {
    let mut labels = name.rsplitn(5, '.');
    let last: Vec<&str> = labels.by_ref().take(4).collect();
    let address = last.into_iter().rev().collect::<Vec<_>>().join(".");
    labels.next().is_some() && address.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_known() {
        for here in [
            "127.0.0.1:4566",
            "127.0.0.1",
            "[::1]:80",
            "localhost:1",
            "LOCALHOST.",
            "bucket.localhost:4566",
            "a.b.localhost",
            "bucket.with.dots.127.0.0.1:9",
            "emulator:4566",
            "host.docker.internal:4566",
            "bucket.s3.us-east-1.amazonaws.com",
        ] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["evil.example:4566", "localhost.evil.example", "127.0.0.1.evil.example", "a.1.2.3"] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn pages_are_refused_and_clients_are_not() {
        let (here, evil) = (Some("127.0.0.1:1"), Some("http://evil.example"));
        let refused = |origin, host, local| refusal(origin, host, local).is_some();
        assert!(
            !refused(None, here, true) && !refused(None, None, true) && !refused(None, Some("build.example"), false)
        );
        assert!(refused(evil, here, true) && refused(Some("null"), here, false));
        assert!(refused(None, Some("evil.example"), true));
    }
}
