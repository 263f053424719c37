//! What an execution is given: by its caller, by default, and by its launch plan.

use prost::Message;

use super::super::spec::{Fault, Faults, shorten, suggest};
use super::types;
use crate::idl::core::parameter::Behavior;
use crate::idl::core::{LiteralMap, Parameter, ParameterMap};
use crate::idl::types::{admits_none, type_name};

/// Faults that an answer lists at most.
const MAX_FAULTS: usize = 25;

/// The inputs of an execution. `expected` is what the launch plan expects, with its defaults; `fixed` is what it fixes,
/// which `expected` need not name. An optional that nobody gives is left out, as Flyte does.
///
/// # Errors
/// Every input that is missing, unknown, of the wrong type, or fixed and given all the same.
pub fn inputs(given: &LiteralMap, expected: &ParameterMap, fixed: &LiteralMap) -> Result<LiteralMap, Faults> {
    let mut faults = Faults::default();
    let mut all = LiteralMap::default();
    for (name, literal) in &given.literals {
        // What is wrong has been said often enough.
        if faults.0.len() >= MAX_FAULTS {
            return Err(faults);
        }
        let field = format!("inputs.{}", shorten(name));
        // By their bytes: a number that is none is not equal to itself.
        if fixed.literals.get(name).is_some_and(|fixed| fixed.encode_to_vec() != literal.encode_to_vec()) {
            let fix = "leave it out, or make a launch plan that does not fix it";
            faults.0.push(Fault::missing(field, "the launch plan fixes it to another value", fix));
        } else if !fixed.literals.contains_key(name) && !expected.parameters.contains_key(name) {
            let known = expected.parameters.keys().map(String::as_str);
            faults.0.push(Fault::missing(field, "there is no such input", suggest(name, known)));
        }
    }
    for (name, parameter) in &expected.parameters {
        if faults.0.len() >= MAX_FAULTS {
            return Err(faults);
        }
        let given = fixed.literals.get(name).or_else(|| given.literals.get(name));
        let literal = given.or(match &parameter.behavior {
            Some(Behavior::Default(literal)) => Some(literal),
            _ => None,
        });
        match (literal, type_of(parameter)) {
            (Some(literal), Some(wanted)) => {
                if let Err(problem) = types::check(literal, wanted) {
                    let fix = format!("give it a value of type {}", type_name(wanted));
                    faults.0.push(Fault::missing(format!("inputs.{name}"), problem, fix));
                }
                all.literals.insert(name.clone(), literal.clone());
            }
            (Some(literal), None) => {
                all.literals.insert(name.clone(), literal.clone());
            }
            (None, wanted) if !is_required(parameter) && wanted.is_some_and(admits_none) => {}
            (None, wanted) => {
                let kind = wanted.map(type_name).unwrap_or_default();
                let fix = format!("give it a value of type {kind}; it has no default");
                faults.0.push(Fault::missing(format!("inputs.{name}"), "it is missing", fix));
            }
        }
    }
    let more = fixed.literals.iter().filter(|(name, _)| !expected.parameters.contains_key(*name));
    all.literals.extend(more.map(|(name, literal)| (name.clone(), literal.clone())));
    faults.or(all)
}

fn type_of(parameter: &Parameter) -> Option<&crate::idl::core::LiteralType> {
    parameter.var.as_ref()?.r#type.as_ref()
}

fn is_required(parameter: &Parameter) -> bool {
    matches!(parameter.behavior, Some(Behavior::Required(true)))
}
