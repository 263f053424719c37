//! How large the parts of what is registered may be: far more than anybody writes, and little enough that whatever compares
//! them all with one another is done at once. A request may hold 64 MiB.

use crate::idl::core::literal_type::Type;
use crate::idl::core::{LiteralType, TypedInterface};
use crate::map::spec::{Fault, Faults, shorten};

/// Inputs of one task or workflow, and outputs.
pub(in crate::map) const MAX_VARIABLES: usize = 1_000;
/// Characters of the name of an input or output.
const MAX_NAME: usize = 255;
/// Types within one type, variants of unions and fields of dataclasses among them.
const MAX_TYPES: usize = 1_000;
/// Arguments of a command.
const MAX_WORDS: usize = 10_000;
/// Bytes of one of them.
const MAX_WORD: usize = 64 << 10;

/// Refuses an interface that is too large; `place` is what has it.
pub(in crate::map) fn interface(place: &str, interface: Option<&TypedInterface>, faults: &mut Faults) {
    let Some(interface) = interface else { return };
    for (what, map) in [("inputs", &interface.inputs), ("outputs", &interface.outputs)] {
        let Some(variables) = map.as_ref().map(|map| &map.variables) else { continue };
        let field = format!("{place}interface.{what}");
        if variables.len() > MAX_VARIABLES {
            let problem = format!("there are {}, and {MAX_VARIABLES} are possible", variables.len());
            faults.0.push(Fault::missing(field, problem, "put them into a list, a dictionary or a dataclass"));
            continue;
        }
        for (name, variable) in variables {
            let field = format!("{field}.{}", shorten(name));
            if name.chars().count() > MAX_NAME {
                faults.0.push(Fault::missing(
                    &field,
                    "the name is too long",
                    format!("give one of {MAX_NAME} characters"),
                ));
            }
            if variable.r#type.as_ref().is_some_and(is_large) {
                let problem = format!("its type holds more than {MAX_TYPES} others");
                faults.0.push(Fault::missing(&field, problem, "give it a simpler type, such as a dictionary"));
            }
        }
    }
}

/// Whether more types than are possible lie within this one. No recursion.
fn is_large(literal_type: &LiteralType) -> bool {
    let (mut open, mut seen) = (vec![literal_type], 0);
    while let Some(next) = open.pop() {
        seen += 1;
        let fields = next.structure.as_ref().map_or(0, |structure| structure.dataclass_type.len());
        let more = match &next.r#type {
            Some(Type::UnionType(union)) => union.variants.len(),
            Some(Type::EnumType(names)) => names.values.len(),
            Some(Type::StructuredDatasetType(table)) => table.columns.len(),
            _ => 0,
        };
        // Before they are gone through.
        if seen + open.len() + fields + more > MAX_TYPES {
            return true;
        }
        open.extend(next.structure.iter().flat_map(|structure| structure.dataclass_type.values()));
        match &next.r#type {
            Some(Type::CollectionType(inner) | Type::MapValueType(inner)) => open.push(inner),
            Some(Type::UnionType(union)) => open.extend(&union.variants),
            // An enum is compared value by value, too; there are no types in it.
            Some(Type::EnumType(names)) => seen += names.values.len(),
            _ => {}
        }
    }
    false
}

/// Whether a command is too large to be looked at; that is told.
pub(super) fn words(words: &[String], field: &str, faults: &mut Faults) -> bool {
    let before = faults.0.len();
    if words.len() > MAX_WORDS {
        let problem = format!("there are {} arguments, and {MAX_WORDS} are possible", words.len());
        faults.0.push(Fault::missing(format!("{field}.args"), problem, "give the rest as inputs or in a file"));
    }
    if let Some(word) = words.iter().find(|word| word.len() > MAX_WORD) {
        let problem = format!("an argument has {} bytes, and {MAX_WORD} are possible", word.len());
        faults.0.push(Fault::text(format!("{field}.args"), word, problem, "give it as an input or in a file"));
    }
    faults.0.len() > before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idl::core::{Variable, VariableMap};
    use crate::idl::types::{collection, parse_type, union};

    fn of(name: &str, literal_type: LiteralType) -> TypedInterface {
        let variable = Variable { r#type: Some(literal_type), ..Variable::default() };
        let variables = [(name.to_owned(), variable)].into();
        TypedInterface { inputs: Some(VariableMap { variables }), outputs: None }
    }

    fn said(of: &TypedInterface) -> String {
        let mut faults = Faults::default();
        interface("", Some(of), &mut faults);
        faults.to_string()
    }

    #[test]
    fn what_is_too_large_is_told_and_what_people_write_is_not() {
        let int = || parse_type("int").unwrap();
        assert_eq!(said(&of("x", collection(union(vec![int(); 100])))), "");
        assert!(
            said(&of("x", union(vec![int(); 1_000_000]))).contains("interface.inputs.x: its type holds more than 1000")
        );
        assert!(said(&of(&"x".repeat(256), int())).contains("the name is too long"));
        let mut many = of("x", int());
        let variables = &mut many.inputs.as_mut().unwrap().variables;
        variables.extend((0..1000).map(|at| (format!("x{at}"), Variable::default())));
        assert!(said(&many).contains("there are 1001, and 1000 are possible"));
        let mut faults = Faults::default();
        assert!(!words(&["{".repeat(1000)], "container", &mut faults));
        assert!(words(&["{".repeat(4 << 20)], "container", &mut faults));
        assert!(words(&vec![String::new(); 10_001], "container", &mut faults));
    }
}
