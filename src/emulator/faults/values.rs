//! What a fault's fields hold, and how they are read: each refusal names the field, the value and what to write instead.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::draw::Draw;
use super::operation;
use crate::map::spec::{Fault, suggest};

/// A time, or a range that one is drawn from: `2s`, or `100ms..5s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Milliseconds.
    pub least_ms: u64,
    /// Milliseconds, not below `least_ms`.
    pub most_ms: u64,
}

impl Span {
    /// Always `ms` milliseconds.
    pub const fn fixed(ms: u64) -> Span {
        Span { least_ms: ms, most_ms: ms }
    }

    /// One of its times, in milliseconds.
    pub fn draw(self, draw: &mut Draw) -> u64 {
        draw.between(self.least_ms, self.most_ms)
    }

    /// Reads `2s` or `100ms..5s`.
    pub fn parse(text: &str) -> Option<Span> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let span = Span { least_ms: millis(least)?, most_ms: millis(most)? };
        (span.least_ms <= span.most_ms).then_some(span)
    }
}

/// The longest time that makes sense: a year.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A duration with its unit, in milliseconds; a bare 0 is one as well.
pub fn millis(text: &str) -> Option<u64> {
    if text.trim() == "0" {
        return Some(0);
    }
    let duration = humantime::parse_duration(text.trim()).ok().filter(|duration| *duration <= LONGEST)?;
    u64::try_from(duration.as_millis()).ok()
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without spaces, so that a span stays one word.
        let text = |ms: u64| humantime::format_duration(Duration::from_millis(ms)).to_string().replace(' ', "");
        match self.least_ms == self.most_ms {
            true => f.write_str(&text(self.least_ms)),
            false => write!(f, "{}..{}", text(self.least_ms), text(self.most_ms)),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Span::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no duration")))
    }
}

/// A table's fields, taken one by one; what is left over at the end is unknown.
pub(in crate::emulator) struct Fields {
    path: String,
    left: serde_json::Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// The fields of `value`, which is found at `path`. Anything that is not a table counts as its field `main`.
    pub(in crate::emulator) fn of(path: &str, value: Value, main: &str) -> Fields {
        let left = match value {
            Value::Object(fields) => fields,
            value => [(main.to_owned(), value)].into_iter().collect(),
        };
        Fields { path: path.to_owned(), left, known: Vec::new() }
    }

    /// The field's name with its table's.
    pub(in crate::emulator) fn name(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// Takes a field; null counts as absent.
    pub(in crate::emulator) fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.left.shift_remove(field).filter(|value| !value.is_null())
    }

    /// A number of 0..=1.
    pub(in crate::emulator) fn share(&mut self, field: &'static str) -> Result<Option<f64>, Fault> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match value.as_f64() {
            Some(share) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
            _ => Err(Fault::of(self.name(field), &value, "not a share", "give a number from 0 to 1, such as 0.05")),
        }
    }

    /// A number above 0.
    pub(in crate::emulator) fn positive(&mut self, field: &'static str, example: &str) -> Result<Option<f64>, Fault> {
        let Some(value) = self.take(field) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number > 0.0 && number.is_finite() => Ok(Some(number)),
            _ => {
                Err(Fault::of(self.name(field), &value, "not a positive number", format!("give one such as {example}")))
            }
        }
    }

    /// A whole number of 0..2^64.
    pub(in crate::emulator) fn whole(&mut self, field: &'static str) -> Result<Option<u64>, Fault> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let fix = "give one from 0 to 18446744073709551615";
        value.as_u64().map(Some).ok_or_else(|| Fault::of(self.name(field), &value, "not a whole number", fix))
    }

    /// A time or a range of times.
    pub(in crate::emulator) fn span(&mut self, field: &'static str) -> Result<Option<Span>, Fault> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let fix = "give a time with its unit, such as \"2s\", or a range, such as \"100ms..5s\"";
        // A bare 0 needs no unit.
        let read = match value.as_str() {
            Some(text) => Span::parse(text),
            None => (value.as_u64() == Some(0)).then(Span::default),
        };
        read.map(Some).ok_or_else(|| Fault::of(self.name(field), &value, "not a time", fix))
    }

    /// A word.
    pub(in crate::emulator) fn text(&mut self, field: &'static str) -> Result<Option<String>, Fault> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(value) => Err(Fault::of(self.name(field), &value, "not a text", "give some words in quotes")),
        }
    }

    /// True or false.
    pub(in crate::emulator) fn flag(&mut self, field: &'static str) -> Result<Option<bool>, Fault> {
        let Some(value) = self.take(field) else { return Ok(None) };
        value
            .as_bool()
            .map(Some)
            .ok_or_else(|| Fault::of(self.name(field), &value, "not a yes or no", "give true or false"))
    }

    /// A list, or one text with commas in it.
    pub(in crate::emulator) fn list(&mut self, field: &'static str) -> Result<Vec<Value>, Fault> {
        let text = |part: &str| Value::String(part.trim().to_owned());
        match self.take(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(Value::String(given)) => {
                Ok(given.split(',').filter(|part| !part.trim().is_empty()).map(text).collect())
            }
            Some(value @ Value::Number(_)) => Ok(vec![value]),
            Some(value) => Err(Fault::of(self.name(field), &value, "not a list", "give one such as [\"a\", \"b\"]")),
        }
    }

    /// Names.
    pub(in crate::emulator) fn names(&mut self, field: &'static str) -> Result<Vec<String>, Fault> {
        let (given, path) = (self.list(field)?, self.name(field));
        let name = |value: Value| match value {
            Value::String(name) if !name.is_empty() => Ok(name),
            value => Err(Fault::of(path.clone(), &value, "not a name", "give names in quotes")),
        };
        given.into_iter().map(name).collect()
    }

    /// Operations of the three services, in their usual spelling, or the services' own names.
    pub(in crate::emulator) fn operations(&mut self) -> Result<Vec<String>, Fault> {
        let known = |name: String| match operation::known().find(|known| known.eq_ignore_ascii_case(&name)) {
            Some(known) => Ok(known.to_owned()),
            None => {
                let fix = match crate::map::spec::nearest(&name, operation::known()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => "give names such as SubmitJob, PutObject or GetLogEvents, or batch, s3 or logs".to_owned(),
                };
                Err(Fault::text("operations", &format!("{name:?}"), "no operation of this endpoint", fix))
            }
        };
        let path = self.name("operations");
        self.names("operations")?
            .into_iter()
            .map(known)
            .collect::<Result<_, _>>()
            .map_err(|fault| Fault { field: path, ..fault })
    }

    /// Ends the table: a field that nobody took is none of its.
    pub(in crate::emulator) fn end(self) -> Result<(), Fault> {
        match self.left.iter().next() {
            None => Ok(()),
            Some((field, value)) => {
                Err(Fault::of(self.name(field), value, "no such setting", suggest(field, self.known.iter().copied())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_they_are_read() {
        for (text, least, most) in
            [("2s", 2000, 2000), ("100ms..5s", 100, 5000), ("0s", 0, 0), ("1m30s", 90_000, 90_000)]
        {
            let span = Span::parse(text).unwrap();
            assert_eq!((span.least_ms, span.most_ms), (least, most));
            assert_eq!(span.to_string(), text);
            assert_eq!(serde_json::from_value::<Span>(serde_json::to_value(span).unwrap()).unwrap(), span);
        }
        for text in ["", "2", "5s..2s", "2s..", "fast", "-1s", "1000 years"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
