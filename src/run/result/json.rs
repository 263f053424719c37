//! The result as JSON, element by element.

use std::io::{self, Write};

use prost::Message;
use serde_json::{Map, Value};

use super::{ResultError, Spool};
use crate::idl::core::Literal;
use crate::idl::json::literal_to_json;

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One document: a list when there is one output, an object of lists when there are several.
    #[default]
    Json,
    /// One line for each subtask: its value when there is one output, an object when there are several.
    Jsonl,
}

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// Reading the spool.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// Writing.
    #[error("cannot write the outputs: {0}")]
    Write(#[from] io::Error),
}

/// Writes the spooled result to `to`, `null` standing for a failed element.
///
/// # Errors
/// When the spool cannot be read or `to` not be written.
pub fn print(spool: &Spool, format: Format, to: &mut dyn Write) -> Result<(), PrintError> {
    match (format, spool.names()) {
        (_, []) => Ok(()),
        (Format::Jsonl, names) => {
            let mut rows = spool.read()?;
            while let Some(row) = rows.next_row()? {
                let mut values = row.iter().map(|literal| value(literal));
                let line = match names {
                    [_] => values.next().unwrap_or(Value::Null),
                    names => Value::Object(names.iter().cloned().zip(values).collect::<Map<_, _>>()),
                };
                writeln!(to, "{line}")?;
            }
            Ok(())
        }
        (Format::Json, [_]) => {
            list(spool, 0, to)?;
            Ok(writeln!(to)?)
        }
        (Format::Json, names) => {
            for (column, name) in names.iter().enumerate() {
                write!(to, "{}{}: ", if column == 0 { "{" } else { ",\n " }, Value::from(name.as_str()))?;
                list(spool, column, to)?;
            }
            Ok(writeln!(to, "}}")?)
        }
    }
}

fn list(spool: &Spool, column: usize, to: &mut dyn Write) -> Result<(), PrintError> {
    let mut rows = spool.read()?;
    let mut separator = "[";
    while let Some(row) = rows.next_row()? {
        write!(to, "{separator}{}", value(&row[column]))?;
        separator = ", ";
    }
    Ok(write!(to, "{}]", if separator == "[" { "[" } else { "" })?)
}

fn value(literal: &[u8]) -> Value {
    // The spool holds what this process has encoded itself.
    Literal::decode(literal).map_or(Value::Null, |literal| literal_to_json(&literal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idl::make;

    fn printed(names: &[&str], rows: &[&[Literal]], format: Format) -> String {
        let mut spool = Spool::create(names.iter().map(|name| (*name).to_owned()).collect()).unwrap();
        rows.iter().for_each(|row| spool.push(row).unwrap());
        spool.rewind().unwrap();
        let mut out = Vec::new();
        print(&spool, format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_output_is_a_list_and_several_are_an_object_of_lists() {
        let (one, two, none) = (make::integer(1), make::boolean(true), make::none());
        let row = [one.clone(), two.clone()];
        let failed = [none.clone(), none.clone()];
        assert_eq!(printed(&["a"], &[&row[..1], &failed[..1]], Format::Json), "[1, null]\n");
        assert_eq!(printed(&["a"], &[], Format::Json), "[]\n");
        assert_eq!(printed(&["a"], &[&row[..1], &failed[..1]], Format::Jsonl), "1\nnull\n");
        assert_eq!(printed(&["a", "b"], &[&row, &failed], Format::Json), "{\"a\": [1, null],\n \"b\": [true, null]}\n");
        assert_eq!(printed(&["a", "b"], &[&row], Format::Jsonl), "{\"a\":1,\"b\":true}\n");
        assert_eq!(printed(&[], &[], Format::Json), "");
    }
}
