//! What is printed.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long calls took, by method, in milliseconds.
#[derive(Default)]
pub struct Latencies(BTreeMap<&'static str, Vec<f64>>);

impl Latencies {
    pub fn add(&mut self, method: &'static str, took: Duration) {
        self.0.entry(method).or_default().push(took.as_secs_f64() * 1e3);
    }

    pub fn merge(&mut self, other: Latencies) {
        for (method, more) in other.0 {
            self.0.entry(method).or_default().extend(more);
        }
    }

    pub fn percentile(&self, method: &str, percent: f64) -> f64 {
        let mut values = self.0.get(method).cloned().unwrap_or_default();
        percentile(&mut values, percent)
    }
}

fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * percent / 100.0) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

pub fn latencies(all: &Latencies, took: Duration) {
    println!("{:<24}{:>8}{:>8}{:>10}{:>10}{:>10}", "", "calls", "a s", "p50 ms", "p99 ms", "max ms");
    for (method, values) in &all.0 {
        let mut values = values.clone();
        let rate = values.len() as f64 / took.as_secs_f64();
        let [p50, p99, max] = [50.0, 99.0, 100.0].map(|percent| percentile(&mut values, percent));
        println!("{method:<24}{:>8}{rate:>8.0}{p50:>10.1}{p99:>10.1}{max:>10.1}", values.len());
    }
}

/// Calls to AWS, of two readings of `/metrics`.
pub fn calls(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, took: Duration) {
    println!("{:<64}{:>8}{:>10}", "", "calls", "a minute");
    for (series, count) in after.iter().filter(|(series, _)| series.starts_with("batchmap_aws_calls_total")) {
        let made = count - before.get(series).copied().unwrap_or(0.0);
        if made > 0.0 {
            let labels = series.trim_start_matches("batchmap_aws_calls_total");
            println!("{labels:<64}{made:>8}{:>10.0}", made * 60.0 / took.as_secs_f64());
        }
    }
}
