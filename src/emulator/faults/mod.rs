//! Faults on demand: what AWS does to its callers now and then, done on purpose.
//!
//! ```text
//!  flags, file ─► Faults ─┬─► gate: requests are slowed, refused, failed, or lose their answer
//!  admin path  ─►         └─► Drill ─► Batch model: jobs lose hosts, wait for capacity, cannot pull, start slowly,
//!                                      and are told late
//! ```
//! Every choice is a hash of one seed and of what it is about ([`draw`]), so a seed repeats a drill: requests are
//! counted for each operation, jobs in order of submission.
//!
//! The settings are one table ([`Faults`]), the same as TOML in a file, as JSON at the admin path, and as `name=value`
//! flags:
//!
//! ```toml
//! throttle = 0.1                      # a tenth of all requests; the same as throttle.share = 0.1
//! [error]
//! share = 0.01
//! operations = ["SubmitJob", "s3"]    # of these alone
//! [spot_loss]
//! share = 0.05
//! after = "1s..1m"
//! ```

mod admin;
mod answer;
pub mod draw;
mod gate;
pub(super) mod operation;
mod patch;
mod rules;
mod values;

pub use self::gate::{Faulty, Gate, ReplyLost};
pub use self::patch::from_sources;
pub(in crate::emulator) use self::patch::{flag_value, toml_value};
pub use self::rules::{
    Denied, Errors, ImagePull, Latency, ListingLag, LostReply, Shortage, SlowStart, SpotLoss, SummaryLag, Throttle,
};
pub(in crate::emulator) use self::values::Fields;
pub use self::values::{Span, millis};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::batch::model::Drill;
use crate::map::spec::Fault;

/// What goes wrong on purpose. What is absent does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Faults {
    /// Requests that are refused for being too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    /// Requests that fail with a server's error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Errors>,
    /// Requests that are refused for want of a permission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied: Option<Denied>,
    /// Requests that wait before they are looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Requests that are carried out and never answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_reply: Option<LostReply>,
    /// How late an array's summary is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary_lag: Option<SummaryLag>,
    /// How late ListJobs is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing_lag: Option<ListingLag>,
    /// Attempts that lose their host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_loss: Option<SpotLoss>,
    /// Queues that get no capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortage: Option<Shortage>,
    /// Attempts whose image cannot be pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull: Option<ImagePull>,
    /// Attempts that are STARTING for long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStart>,
}

/// Every fault, with the field that stands for the whole of it: `throttle = 0.1` is `throttle.share = 0.1`.
pub const NAMES: [(&str, &str); 11] = [
    ("throttle", "share"),
    ("error", "share"),
    ("denied", "share"),
    ("latency", "time"),
    ("lost_reply", "share"),
    ("summary_lag", "time"),
    ("listing_lag", "time"),
    ("spot_loss", "share"),
    ("shortage", "reason"),
    ("image_pull", "share"),
    ("slow_start", "time"),
];

impl Faults {
    /// Reads settings: an object with a field for each fault.
    ///
    /// # Errors
    /// The first thing that is wrong: an unknown field, or a value that its field cannot hold.
    pub fn from_value(value: Value) -> Result<Faults, Fault> {
        if !value.is_object() {
            return Err(Fault::of("faults", &value, "not a table of settings", "give one such as {\"throttle\": 0.1}"));
        }
        let mut fields = Fields::of("", value, "");
        let faults = Faults {
            throttle: rules::read(&mut fields, "throttle")?,
            error: rules::read(&mut fields, "error")?,
            denied: rules::read(&mut fields, "denied")?,
            latency: rules::read(&mut fields, "latency")?,
            lost_reply: rules::read(&mut fields, "lost_reply")?,
            summary_lag: rules::read(&mut fields, "summary_lag")?,
            listing_lag: rules::read(&mut fields, "listing_lag")?,
            spot_loss: rules::read(&mut fields, "spot_loss")?,
            shortage: rules::read(&mut fields, "shortage")?,
            image_pull: rules::read(&mut fields, "image_pull")?,
            slow_start: rules::read(&mut fields, "slow_start")?,
        };
        fields.end()?;
        Ok(faults)
    }

    /// Those of them that are about jobs, for the model.
    pub fn drill(&self, seed: u64) -> Drill {
        Drill {
            seed,
            summary_lag: self.summary_lag.clone(),
            listing_lag: self.listing_lag.clone(),
            spot_loss: self.spot_loss.clone(),
            shortage: self.shortage.clone(),
            image_pull: self.image_pull.clone(),
            slow_start: self.slow_start.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Faults {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Faults::from_value(value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_written_as_they_are_read() {
        let given = json!({
            "throttle": {"share": 0.1, "rate": 20.0, "operations": ["submitjob", "s3"]},
            "error": 0.5,
            "denied": {"share": 1, "operations": ["DescribeJobs"]},
            "latency": "100ms..2s",
            "lost_reply": {"share": 1, "operations": "PutObject, GetLogEvents"},
            "summary_lag": "5s",
            "listing_lag": {"time": "3s"},
            "spot_loss": {"share": 0.2, "after": "1s..1m", "spot_only": true},
            "shortage": "capacity",
            "image_pull": {"share": 0.3, "queues": ["a", "b"]},
            "slow_start": {"time": "10s", "share": 0.5},
        });
        let faults = Faults::from_value(given).unwrap();
        let throttle = faults.throttle.clone().unwrap();
        assert_eq!((throttle.share, throttle.rate), (0.1, Some(20.0)));
        assert_eq!(throttle.operations, ["SubmitJob", "s3"]);
        assert_eq!(faults.lost_reply.as_ref().unwrap().operations, ["PutObject", "GetLogEvents"]);
        assert!(faults.shortage.as_ref().unwrap().reason.starts_with("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - "));
        assert_eq!(faults.slow_start.as_ref().unwrap().time, Span::fixed(10_000));
        let written = serde_json::to_value(&faults).unwrap();
        assert_eq!(written.as_object().unwrap().len(), NAMES.len());
        assert_eq!(Faults::from_value(written).unwrap(), faults);
        assert_eq!(Faults::from_value(json!({"throttle": null})).unwrap(), Faults::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_fix() {
        for (given, words) in [
            (json!({"throtle": 0.1}), ["throtle", "no such setting", "did you mean \"throttle\"?"]),
            (json!({"throttle": {"shar": 0.1}}), ["throttle.shar", "no such setting", "did you mean \"share\"?"]),
            (json!({"throttle": 1.5}), ["throttle.share is 1.5", "not a share", "from 0 to 1"]),
            (json!({"throttle": {}}), ["throttle", "neither share nor rate", "share = 0.1"]),
            (json!({"throttle": {"rate": 0}}), ["throttle.rate is 0", "not a positive number", "such as"]),
            (json!({"error": {"share": "half"}}), ["error.share is \"half\"", "not a share", "0.05"]),
            (json!({"latency": 5}), ["latency.time is 5", "not a time", "2s"]),
            (json!({"latency": "5s..1s"}), ["latency.time is \"5s..1s\"", "not a time", "100ms..5s"]),
            (json!({"error": {"operations": ["x"]}}), ["error.operations", "no operation", "SubmitJob"]),
            (json!({"error": {"operations": ["SubmitJobs"]}}), ["error.operations", "SubmitJobs", "\"SubmitJob\"?"]),
            (json!({"spot_loss": {"share": 1, "spot_only": 3}}), ["spot_loss.spot_only is 3", "yes or no", "true"]),
            (json!({"shortage": {"queues": [1]}}), ["shortage.queues is 1", "not a name", "quotes"]),
            (json!({"shortage": "no room"}), ["shortage.reason", "no room", "capacity"]),
            (json!([1]), ["faults is [1]", "not a table", "throttle"]),
        ] {
            let said = Faults::from_value(given.clone()).expect_err(&given.to_string()).to_string();
            for word in words {
                assert!(said.contains(word), "{said} should say {word}");
            }
        }
    }
}
