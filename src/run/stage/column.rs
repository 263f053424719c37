//! One mapped input on its way to literals.

use serde_json::Value;

use super::stager::DataFaults;
use crate::aws::store::StoreError;
use crate::idl::core::{Literal, LiteralType, SimpleType};
use crate::idl::json::literal_from_json;
use crate::idl::types::{infer, join, simple, type_name};
use crate::map::spec::{Fault, Faults, holds_file};
use crate::run::files::{Files, Upload};
use crate::run::source::{Element, Elements, Item, SourceError};

/// Elements from which a type is inferred.
const INFERRED_FROM: usize = 1000;

/// One mapped input, being read.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) literal_type: LiteralType,
    /// Whether the type was given, not inferred.
    typed: bool,
    holds_file: bool,
    pub(super) elements: Elements,
    /// Reading it has failed.
    pub(super) dead: bool,
}

impl Column {
    pub(super) fn new(name: &str, literal_type: Option<LiteralType>, elements: Elements) -> Self {
        let typed = literal_type.is_some();
        let literal_type = literal_type.unwrap_or_default();
        let holds_file = holds_file(&literal_type);
        Column { name: name.to_owned(), literal_type, typed, holds_file, elements, dead: false }
    }

    /// Looks at the first elements: to infer the type, and to see early whether the list can be read at all.
    pub(super) async fn infer(&mut self, faults: &mut Faults) -> Result<(), StoreError> {
        let count = if self.typed { 1 } else { INFERRED_FROM };
        let mut inferred = LiteralType::default();
        if let Err(error) = self.elements.read_ahead(count).await {
            faults.0.push(self.failed(error)?);
        }
        if !self.typed {
            // A value that does not join the others is told of when it is converted, like any later one.
            let values = self.elements.peek().take(INFERRED_FROM).filter_map(|item| match &item.value {
                Ok(Element::Json(value)) => Some(value),
                // Of literals the type is given.
                Ok(Element::Literal(_)) | Err(_) => None,
            });
            for value in values {
                inferred = join(&inferred, &infer(value)).unwrap_or(inferred);
            }
            // Of an empty list nothing is known, and nothing need be.
            let nothing = inferred == LiteralType::default();
            self.literal_type = if nothing { simple(SimpleType::None) } else { inferred };
        }
        Ok(())
    }

    /// The fault of a list that cannot be read.
    pub(super) fn failed(&mut self, error: SourceError) -> Result<Fault, StoreError> {
        self.dead = true;
        match error {
            SourceError::Store(error) => Err(error),
            SourceError::Unreadable { place, problem } => {
                let fix = "give a readable list, one JSON array or JSON lines";
                // Not shortened: the end of a path is what tells it from others.
                Ok(Fault { field: format!("map.{}", self.name), value: place, problem, fix: fix.to_owned() })
            }
        }
    }

    /// The number of elements that can be taken now, 0 at the end; `None` where the list cannot be read on.
    pub(super) async fn ready(&mut self, faults: &mut DataFaults) -> Result<Option<usize>, StoreError> {
        match self.elements.ready().await {
            Ok(ready) => Ok(Some(ready)),
            Err(error) => {
                faults.push(self.failed(error)?);
                Ok(None)
            }
        }
    }

    /// The literal of an element; its local files are added to `uploads`.
    pub(super) fn convert(
        &self,
        item: Item,
        index: u64,
        files: &Files,
        uploads: &mut Vec<Upload>,
    ) -> Result<Literal, Fault> {
        let line = item.line;
        let value = match item.value {
            Ok(Element::Json(value)) => value,
            Ok(Element::Literal(literal)) => return Ok(*literal),
            Err(problem) => return Err(Fault::missing(self.place(line, index), problem, "")),
        };
        let converted = if self.holds_file {
            let mut addressed = value.clone();
            let place = format!("{}/{index:010}/", self.name);
            let found = files.address(&mut addressed, &self.literal_type, &place, uploads);
            found.and_then(|()| literal_from_json(&addressed, &self.literal_type))
        } else {
            literal_from_json(&value, &self.literal_type)
        };
        converted.map_err(|problem| Fault::of(self.place(line, index), &value, problem, self.fix(&value)))
    }

    /// Where an element stands, for a fault: `points.jsonl:17: x[16]`.
    pub(super) fn place(&self, line: u64, index: u64) -> String {
        match self.elements.place(line) {
            inline if inline.is_empty() => format!("map.{}[{index}]", self.name),
            place => format!("{place}: {}[{index}]", self.name),
        }
    }

    fn fix(&self, value: &Value) -> String {
        if self.typed {
            return "correct it, or the input's type".to_owned();
        }
        let name = &self.name;
        let seen = type_name(&self.literal_type);
        let wider = join(&self.literal_type, &infer(value)).map_or("TYPE".to_owned(), |wider| type_name(&wider));
        format!(
            "the type {seen} was inferred from the first elements: correct this one, or give --input {name}:{wider}"
        )
    }
}
