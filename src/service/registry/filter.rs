//! Filters and orders of list requests, as flytekit writes them: `eq(version,v1)+contains(name,wf)`.

use tonic::Status;

use crate::idl::admin::Sort;
use crate::idl::admin::sort::Direction;
use crate::service::status;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    field: String,
    is: Is,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Is {
    Equal(String),
    NotEqual(String),
    Contains(String),
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
}

/// Conditions that all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<Condition>);

impl Filter {
    /// Reads a request's filters; `fields` are those that can be asked about.
    ///
    /// # Errors
    /// INVALID_ARGUMENT naming what is not understood.
    pub fn parse(text: &str, fields: &[&str]) -> Result<Filter, Status> {
        let mut conditions = Vec::new();
        // A value may hold a plus sign, and none holds what ends a condition and begins the next.
        for (at, part) in text.split(")+").enumerate() {
            if part.is_empty() && at == 0 {
                break;
            }
            let part = part.strip_suffix(')').unwrap_or(part);
            let bad = || {
                status::invalid(format!(
                    "filters holds {part:?}: write eq(FIELD,VALUE), ne, contains, value_in(FIELD,A;B) or value_not_in, \
                     with {} for FIELD",
                    fields.join(", ")
                ))
            };
            let (function, arguments) = part.split_once('(').ok_or_else(bad)?;
            let (field, value) = arguments.split_once(',').ok_or_else(bad)?;
            let field = field.trim().rsplit('.').next().unwrap_or(field).to_owned();
            if !fields.contains(&field.as_str()) {
                return Err(bad());
            }
            let all = || value.split(';').map(str::to_owned).collect();
            let is = match function {
                "eq" => Is::Equal(value.to_owned()),
                "ne" => Is::NotEqual(value.to_owned()),
                "contains" => Is::Contains(value.to_owned()),
                "value_in" => Is::OneOf(all()),
                "value_not_in" => Is::NoneOf(all()),
                _ => return Err(bad()),
            };
            conditions.push(Condition { field, is });
        }
        Ok(Filter(conditions))
    }

    /// Whether all conditions hold of what `value` says of a field; a condition on a field that it says nothing of does.
    pub fn admits<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.0.iter().all(|condition| {
            let Some(found) = value(&condition.field) else { return true };
            match &condition.is {
                Is::Equal(due) => found == due,
                Is::NotEqual(due) => found != due,
                Is::Contains(due) => found.contains(due.as_str()),
                Is::OneOf(due) => due.iter().any(|due| due == found),
                Is::NoneOf(due) => due.iter().all(|due| due != found),
            }
        })
    }
}

/// What a listing is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// When it was made.
    Created,
    /// Its name.
    Name,
}

/// Reads a request's order: the key, and whether the largest comes first. Newest first where nothing is asked for.
///
/// # Errors
/// INVALID_ARGUMENT naming a key that nothing is ordered by.
pub fn order(sort: Option<&Sort>) -> Result<(Key, bool), Status> {
    let Some(sort) = sort.filter(|sort| !sort.key.is_empty()) else { return Ok((Key::Created, true)) };
    let key = match sort.key.as_str() {
        "created_at" | "execution_created_at" | "started_at" | "updated_at" => Key::Created,
        "name" | "version" | "execution_name" => Key::Name,
        other => {
            return Err(status::invalid(format!("sort_by.key is {other:?}: created_at and name can be sorted by")));
        }
    };
    Ok((key, sort.direction() == Direction::Descending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(filter: &str, name: &'static str, version: &'static str) -> bool {
        let filter = Filter::parse(filter, &["name", "version"]).unwrap();
        filter.admits(|field| match field {
            "name" => Some(name),
            "version" => Some(version),
            _ => None,
        })
    }

    #[test]
    fn conditions() {
        assert!(admits("", "n", "v"));
        assert!(admits("eq(name,n)", "n", "v"));
        assert!(!admits("eq(name,n)+eq(version,w)", "n", "v"));
        assert!(admits("contains(name,ab)+ne(version,w)", "xabx", "v"));
        assert!(admits("value_in(version,a;b)", "n", "b"));
        assert!(!admits("value_not_in(version,a;b)", "n", "b"));
        assert!(admits("eq(task.name,a+b(c))", "a+b(c)", "v"));
    }

    #[test]
    fn what_is_no_filter_is_named() {
        for text in ["x", "eq(name)", "eq(colour,red)", "like(name,x)", "eq(name,n)+", "+"] {
            let status = Filter::parse(text, &["name"]).unwrap_err();
            assert!(status.message().starts_with("filters holds ") && status.message().contains("eq("), "{text}");
        }
    }
}
