//! How simulated attempts go: a distribution of times, a share that fails, exit codes, a seed.
//!
//! ```toml
//! distribution = "lognormal"      # fixed, uniform, exponential, lognormal, pareto
//! mean = "30s"
//! sigma = 1.2                     # lognormal: of the logarithm
//! shape = 1.5                     # pareto: the smaller, the heavier the tail; above 1
//! min = "1s"                      # uniform: from min to max
//! max = "10s"
//! failure_rate = 0.05
//! exit_codes = [1, 75]            # of those that fail, each as often as the others
//! seed = 7                        # the endpoint's own when absent
//! ```

use std::f64::consts::TAU;

use serde_json::{Map, Value};

use crate::emulator::batch::model::{AttemptKey, End};
use crate::emulator::faults::draw::Draw;
use crate::emulator::faults::{Fields, flag_value, toml_value};
use crate::map::spec::Fault;

/// How long simulated attempts take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SimulatedDuration {
    /// All alike, milliseconds.
    Fixed(u64),
    /// Any time of a range alike.
    Uniform {
        /// Milliseconds.
        least_ms: u64,
        /// Milliseconds.
        most_ms: u64,
    },
    /// Exponential: most are short, few are long.
    Exponential {
        /// Milliseconds.
        mean_ms: f64,
    },
    /// The logarithm is normal: a hump and a tail.
    LogNormal {
        /// Milliseconds.
        mean_ms: f64,
        /// The logarithm's standard deviation.
        sigma: f64,
    },
    /// A power law: the heaviest tail.
    Pareto {
        /// Milliseconds.
        mean_ms: f64,
        /// Above 1.
        shape: f64,
    },
}

impl SimulatedDuration {
    /// The next time, in milliseconds.
    fn draw(self, draw: &mut Draw) -> u64 {
        // 0 is left out, for its logarithm is none.
        let mut unit = || 1.0 - draw.unit();
        match self {
            SimulatedDuration::Fixed(ms) => ms,
            SimulatedDuration::Uniform { least_ms, most_ms } => draw.between(least_ms, most_ms),
            SimulatedDuration::Exponential { mean_ms } => (-unit().ln() * mean_ms) as u64,
            SimulatedDuration::LogNormal { mean_ms, sigma } => {
                let normal = (-2.0 * unit().ln()).sqrt() * (TAU * unit()).cos();
                let location = mean_ms.ln() - sigma * sigma / 2.0;
                (location + sigma * normal).exp() as u64
            }
            SimulatedDuration::Pareto { mean_ms, shape } => {
                let least = mean_ms * (shape - 1.0) / shape;
                (least * unit().powf(-1.0 / shape)) as u64
            }
        }
    }
}

/// A drill. What an attempt draws depends on the seed, its job's place in order of submission, its index and its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// How long attempts take.
    pub duration: SimulatedDuration,
    /// The share that fails, 0..=1.
    pub failure_rate: f64,
    /// The exit codes of those that fail, each as often as the others; never empty.
    pub exit_codes: Vec<i32>,
    /// Another seed, other draws.
    pub seed: u64,
}

impl Default for Script {
    fn default() -> Self {
        Script { duration: SimulatedDuration::Fixed(1000), failure_rate: 0.0, exit_codes: vec![1], seed: 0 }
    }
}

impl Script {
    /// How long an attempt takes, in milliseconds, and how it ends.
    pub fn draw(&self, attempt: AttemptKey) -> (u64, End) {
        let place = [u64::from(attempt.job), u64::from(attempt.child), u64::from(attempt.attempt)];
        let after_ms = self.duration.draw(&mut Draw::of(self.seed, "duration", &place));
        let mut draw = Draw::of(self.seed, "end", &place);
        let exit_code = match draw.hits(self.failure_rate) {
            true => self.exit_codes[draw.between(0, self.exit_codes.len() as u64 - 1) as usize],
            false => 0,
        };
        (after_ms, End::exited(exit_code))
    }

    /// A script from the text of a TOML file, if there is one, and from `name=value` texts, which override it. `seed` is
    /// taken unless they give one.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_sources(file: Option<&str>, given: &[String], seed: u64) -> Result<Script, Fault> {
        let mut settings = file.map_or_else(|| Ok(Value::Object(Map::new())), toml_value)?;
        if let Value::Object(settings) = &mut settings {
            for text in given {
                let Some((name, value)) = text.split_once('=') else {
                    let fix = "give such as mean=2s, or a file";
                    return Err(Fault::text("--simulate", &format!("{text:?}"), "neither name=value nor a file", fix));
                };
                settings.insert(name.trim().replace('-', "_"), flag_value(value.trim()));
            }
        }
        Script::from_value(settings, seed)
    }

    fn from_value(settings: Value, seed: u64) -> Result<Script, Fault> {
        let mut fields = Fields::of("", settings, "distribution");
        let failure_rate = fields.share("failure_rate")?.unwrap_or(0.0);
        let exit_codes = exit_codes(&mut fields)?;
        let seed = fields.whole("seed")?.unwrap_or(seed);
        let duration = distribution(&mut fields)?;
        fields.end()?;
        Ok(Script { duration, failure_rate, exit_codes, seed })
    }
}

fn distribution(fields: &mut Fields) -> Result<SimulatedDuration, Fault> {
    let name = fields.text("distribution")?.unwrap_or_else(|| "fixed".to_owned());
    Ok(match name.as_str() {
        "fixed" => SimulatedDuration::Fixed(time(fields, "mean")?.unwrap_or(1000)),
        "uniform" => {
            let (least, most) = (time(fields, "min")?.unwrap_or(0), time(fields, "max")?);
            let most_ms = most.ok_or_else(|| Fault::missing("max", "missing", "give it, such as max = \"10s\""))?;
            if least > most_ms {
                return Err(Fault::text("min", &format!("{least} ms"), "above max", "give max the greater one"));
            }
            SimulatedDuration::Uniform { least_ms: least, most_ms }
        }
        "exponential" => SimulatedDuration::Exponential { mean_ms: mean(fields)? },
        "lognormal" => {
            let sigma = fields.positive("sigma", "1.2")?.unwrap_or(1.0);
            SimulatedDuration::LogNormal { mean_ms: mean(fields)?, sigma }
        }
        "pareto" => {
            let shape = fields.positive("shape", "1.5")?.unwrap_or(1.5);
            if shape <= 1.0 {
                return Err(Fault::text(
                    "shape",
                    &shape.to_string(),
                    "has no mean",
                    "give a number above 1, such as 1.5",
                ));
            }
            SimulatedDuration::Pareto { mean_ms: mean(fields)?, shape }
        }
        other => {
            let known = ["fixed", "uniform", "exponential", "lognormal", "pareto"];
            let fix = crate::map::spec::suggest(other, known);
            return Err(Fault::text("distribution", &format!("{other:?}"), "no distribution", fix));
        }
    })
}

/// Some positive time, in milliseconds; a second when absent.
fn mean(fields: &mut Fields) -> Result<f64, Fault> {
    match time(fields, "mean")? {
        Some(0) => Err(Fault::text("mean", "0", "not a positive time", "give such as \"2s\"")),
        given => Ok(given.unwrap_or(1000) as f64),
    }
}

/// One time, in milliseconds.
fn time(fields: &mut Fields, field: &'static str) -> Result<Option<u64>, Fault> {
    let Some(span) = fields.span(field)? else { return Ok(None) };
    if span.least_ms == span.most_ms {
        return Ok(Some(span.least_ms));
    }
    let fix = "give one time; a range is distribution = \"uniform\" with min and max";
    Err(Fault::text(field, &span.to_string(), "a range", fix))
}

fn exit_codes(fields: &mut Fields) -> Result<Vec<i32>, Fault> {
    let code = |value: &Value| {
        let code = value.as_i64().or_else(|| value.as_str()?.parse().ok());
        let code = code.filter(|code| (1..=255).contains(code)).and_then(|code| i32::try_from(code).ok());
        code.ok_or_else(|| Fault::of("exit_codes", value, "no code of a failure", "give numbers from 1 to 255"))
    };
    let codes: Vec<i32> = fields.list("exit_codes")?.iter().map(code).collect::<Result<_, _>>()?;
    Ok(if codes.is_empty() { vec![1] } else { codes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(child: u32) -> AttemptKey {
        AttemptKey { job: 9, child, attempt: 1 }
    }

    fn script(given: &[&str]) -> Script {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        Script::from_sources(None, &given, 7).unwrap()
    }

    #[test]
    fn a_script_draws_what_it_says_and_always_the_same() {
        let script = script(&["distribution=exponential", "mean=1s", "failure_rate=0.25", "exit_codes=3,75"]);
        let drawn: Vec<(u64, End)> = (0..10_000).map(|child| script.draw(attempt(child))).collect();
        let ended = |code| drawn.iter().filter(|(_, end)| *end == End::exited(code)).count();
        assert!((1150..1350).contains(&ended(3)), "{}", ended(3));
        assert!((1150..1350).contains(&ended(75)), "{}", ended(75));
        assert_eq!(ended(0) + ended(3) + ended(75), 10_000);
        assert_eq!(script.draw(attempt(5)), drawn[5]);
        let other = Script { seed: 8, ..script };
        assert_ne!((0..100).map(|child| other.draw(attempt(child))).collect::<Vec<_>>(), drawn[..100]);
    }

    #[test]
    fn distributions_have_their_mean() {
        for (given, off) in [
            (&["mean=1s"][..], 1.0),
            (&["distribution=uniform", "min=500ms", "max=1500ms"], 20.0),
            (&["distribution=exponential", "mean=1s"], 50.0),
            (&["distribution=lognormal", "mean=1s", "sigma=0.8"], 50.0),
            (&["distribution=pareto", "mean=1s", "shape=3"], 50.0),
        ] {
            let script = script(given);
            let mean = (0..10_000).map(|child| script.draw(attempt(child)).0 as f64).sum::<f64>() / 10_000.0;
            assert!((mean - 1000.0).abs() <= off, "{given:?}: {mean}");
        }
        let heavy = script(&["distribution=pareto", "mean=1s", "shape=1.5"]);
        let times: Vec<u64> = (0..10_000).map(|child| heavy.draw(attempt(child)).0).collect();
        assert!(times.iter().all(|ms| *ms >= 333) && times.iter().any(|ms| *ms > 20_000));
    }

    #[test]
    fn a_file_is_overridden_and_what_is_wrong_is_named() {
        let file = "distribution = \"pareto\"\nmean = \"2s\"\nexit_codes = [2]\nseed = 3\n";
        let script = Script::from_sources(Some(file), &["mean=5s".to_owned()], 7).unwrap();
        assert_eq!(script.duration, SimulatedDuration::Pareto { mean_ms: 5000.0, shape: 1.5 });
        assert_eq!((script.exit_codes, script.seed), (vec![2], 3));
        for (given, words) in [
            ("distribution=normal", ["distribution is \"normal\"", "known are"]),
            ("men=2s", ["men is", "did you mean \"mean\"?"]),
            ("mean=1s..2s", ["mean is", "uniform"]),
            ("failure_rate=2", ["failure_rate is 2", "0 to 1"]),
            ("exit_codes=0", ["exit_codes is 0", "1 to 255"]),
            ("nonsense", ["--simulate is \"nonsense\"", "name=value"]),
        ] {
            let said = Script::from_sources(None, &[given.to_owned()], 7).unwrap_err().to_string();
            for word in words {
                assert!(said.contains(word), "{said} should say {word}");
            }
        }
        let uniform = Script::from_sources(None, &["distribution=uniform".to_owned()], 7).unwrap_err().to_string();
        assert!(uniform.starts_with("max: missing"), "{uniform}");
    }
}
