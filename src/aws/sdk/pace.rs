//! Which pace an endpoint stands.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::aws::pacing::{Backoff, Pacer};

/// Host names of AWS's own endpoints end so: public, dual-stack, FIPS and VPC ones, and those of its other partitions.
const AWS_DOMAINS: [&str; 6] =
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".amazonaws.eu", ".c2s.ic.gov", ".sc2s.sgov.gov"];

/// The pacers of this process by region: AWS counts the calls of an account in a region, whichever client makes them.
static ALL: Mutex<BTreeMap<String, Arc<Pacer>>> = Mutex::new(BTreeMap::new());

/// The pacer of Batch's calls on a configuration: the process's own for AWS, and one that holds nothing back elsewhere.
pub(super) fn pacer(shared: &aws_config::SdkConfig) -> Arc<Pacer> {
    let given = std::env::var("AWS_ENDPOINT_URL_BATCH").ok().filter(|url| !url.is_empty());
    let named = shared.endpoint_url().map(str::to_owned).or(given);
    let tries = shared.retry_config().map_or(Backoff::AWS.tries, |config| config.max_attempts().max(1));
    if named.is_some_and(|url| !is_aws(&url)) {
        return Arc::new(Pacer::unpaced(Backoff { tries, ..Backoff::NEAR }, seed()));
    }
    let region = shared.region().map(|region| region.as_ref().to_owned()).unwrap_or_default();
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let new = || Arc::new(Pacer::aws(Backoff { tries, ..Backoff::AWS }, seed()));
    Arc::clone(all.entry(region).or_insert_with(new))
}

/// Whether the address is one of AWS's own.
fn is_aws(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', ':', '?']).next().unwrap_or_default().to_ascii_lowercase();
    AWS_DOMAINS.iter().any(|domain| host.ends_with(domain))
}

/// From the operating system's randomness: processes that fail together must not come back together.
fn seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use aws_config::Region;

    use super::*;
    use crate::aws::pacing::Operation;

    fn shared(region: &'static str, url: Option<&str>) -> aws_config::SdkConfig {
        let config = aws_config::SdkConfig::builder().region(Region::new(region));
        match url {
            Some(url) => config.endpoint_url(url).build(),
            None => config.build(),
        }
    }

    #[test]
    fn only_aws_itself_is_paced() {
        for url in
            ["https://batch.eu-central-1.amazonaws.com", "https://vpce-0.batch.cn-north-1.vpce.amazonaws.com.cn:443/"]
        {
            assert!(is_aws(url), "{url}");
        }
        for url in
            ["http://127.0.0.1:4566", "http://localhost.localstack.cloud:4566", "https://amazonaws.com.example.org"]
        {
            assert!(!is_aws(url), "{url}");
        }
        assert_eq!(pacer(&shared("r-1", Some("http://127.0.0.1:1"))).rate(Operation::Submit), None);
        assert_eq!(pacer(&shared("r-1", Some("https://batch.r-1.amazonaws.com"))).rate(Operation::Submit), Some(20.0));
    }

    #[test]
    fn a_region_has_one_pacer_in_the_whole_process() {
        let (one, two) = (pacer(&shared("r-2", None)), pacer(&shared("r-2", None)));
        assert!(Arc::ptr_eq(&one, &two));
        assert!(!Arc::ptr_eq(&one, &pacer(&shared("r-3", None))));
    }
}
