//! The keys of what `batchmap serve` keeps: registered entities, and executions of workflows.
//!
//! ```text
//! <prefix>/flyte/secret                                                   what upload addresses are signed with
//! <prefix>/flyte/entities/<project>/<domain>/tasks/<name>/<version>       also workflows/, launch_plans/
//! <prefix>/flyte/active/<project>/<domain>/<name>                         the version of the active launch plan
//! <prefix>/flyte/uploads/<project>/<domain>/<folder>/<file>
//! <prefix>/flyte/running/<project>/<domain>/<execution>                   while it is not over
//! <prefix>/flyte/index/<project>/<domain>/<time>-<execution>              newest first
//! <prefix>/flyte/servers/<server>                                         written again and again while it lives
//! <prefix>/flyte/executions/<project>/<domain>/<execution>/...            see [`FlowRoot`]
//! ```
//!
//! Every part that a client chose is escaped, so that it is one part of the key whatever it holds.

use crate::idl::core::{Identifier, ResourceType, WorkflowExecutionIdentifier};

/// The format of [`Registered`](crate::idl::record::Registered) and [`FlowRecord`](crate::idl::record::FlowRecord) that
/// this program writes, and the only one it reads.
pub const FLYTE_VERSION: u32 = 1;

/// Stands for the format in the record of an execution that is being removed: its name is taken, and there is nothing else
/// of it to anybody.
pub const REMOVED_VERSION: u32 = u32::MAX;

/// A kind of registered entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A task.
    Task,
    /// A workflow.
    Workflow,
    /// A launch plan.
    LaunchPlan,
}

impl Kind {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Task => "task",
            Kind::Workflow => "workflow",
            Kind::LaunchPlan => "launch plan",
        }
    }

    /// Flyte's number for it.
    pub fn resource_type(self) -> ResourceType {
        match self {
            Kind::Task => ResourceType::Task,
            Kind::Workflow => ResourceType::Workflow,
            Kind::LaunchPlan => ResourceType::LaunchPlan,
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Kind::Task => "tasks",
            Kind::Workflow => "workflows",
            Kind::LaunchPlan => "launch_plans",
        }
    }
}

/// The keys under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlyteRoot {
    base: String,
}

impl FlyteRoot {
    /// The keys under `prefix` (no slash at either end; empty for the bucket's own root).
    pub fn new(prefix: &str) -> Self {
        FlyteRoot { base: format!("{}flyte/", super::parent(prefix)) }
    }

    /// What addresses for uploads and downloads are signed with.
    pub fn secret(&self) -> String {
        format!("{}secret", self.base)
    }

    /// The record of an entity.
    pub fn entity(&self, kind: Kind, id: &Identifier) -> String {
        format!("{}{}", self.versions(kind, &id.project, &id.domain, &id.name), escape(&id.version))
    }

    /// The prefix of all versions of an entity.
    pub fn versions(&self, kind: Kind, project: &str, domain: &str, name: &str) -> String {
        format!("{}{}/", self.entities(kind, project, domain), escape(name))
    }

    /// The prefix of all entities of a kind in one domain.
    pub fn entities(&self, kind: Kind, project: &str, domain: &str) -> String {
        format!("{}entities/{}/{}/{}/", self.base, escape(project), escape(domain), kind.folder())
    }

    /// The prefix under which each project that registered anything has a folder.
    pub fn projects(&self) -> String {
        format!("{}entities/", self.base)
    }

    /// The prefix of the marks of active launch plans in one domain.
    pub fn actives(&self, project: &str, domain: &str) -> String {
        format!("{}active/{}/{}/", self.base, escape(project), escape(domain))
    }

    /// The mark that names the active version of a launch plan.
    pub fn active(&self, project: &str, domain: &str, name: &str) -> String {
        format!("{}{}", self.actives(project, domain), escape(name))
    }

    /// The prefix of what the clients of one domain upload.
    pub fn uploads(&self, project: &str, domain: &str) -> String {
        format!("{}{}/{}/", self.all_uploads(), escape(project), escape(domain))
    }

    /// The prefix of the marks of executions that are not over, of all domains.
    pub fn all_running(&self) -> String {
        format!("{}running/", self.base)
    }

    /// The mark of an execution that is not over.
    pub fn running(&self, id: &WorkflowExecutionIdentifier) -> String {
        format!("{}{}/{}/{}", self.all_running(), escape(&id.project), escape(&id.domain), escape(&id.name))
    }

    /// The execution that a mark stands for.
    pub fn marked(&self, key: &str) -> Option<WorkflowExecutionIdentifier> {
        let mut parts = key.strip_prefix(&self.all_running())?.split('/').map(unescape);
        let mut next = || parts.next()?;
        let id = WorkflowExecutionIdentifier { project: next()?, domain: next()?, name: next()?, ..Default::default() };
        parts.next().is_none().then_some(id)
    }

    /// The prefix of the signs of life of all servers.
    pub fn servers(&self) -> String {
        format!("{}servers/", self.base)
    }

    /// The sign of life of one server.
    pub fn server(&self, name: &str) -> String {
        format!("{}{}", self.servers(), escape(name))
    }

    /// The prefix of the entries of one domain's executions, the newest first.
    pub fn index(&self, project: &str, domain: &str) -> String {
        format!("{}index/{}/{}/", self.base, escape(project), escape(domain))
    }

    /// The entry of an execution that was made at this time, in milliseconds since 1970.
    pub fn index_entry(&self, id: &WorkflowExecutionIdentifier, created_ms: u64) -> String {
        // Counted back from the end of 13 digits of milliseconds, in the year 2286: later ones come first.
        let back = 9_999_999_999_999_u64.saturating_sub(created_ms);
        format!("{}{back:013}-{}", self.index(&id.project, &id.domain), escape(&id.name))
    }

    /// The name of the execution that an entry under [`FlyteRoot::index`] is of.
    pub fn indexed(&self, project: &str, domain: &str, key: &str) -> Option<String> {
        unescape(key.strip_prefix(&self.index(project, domain))?.get(14..)?)
    }

    /// The prefix under which each project that an execution was made in has a folder, with one for each domain.
    pub fn all_flows(&self) -> String {
        format!("{}executions/", self.base)
    }

    /// The prefix of all that clients have uploaded.
    pub fn all_uploads(&self) -> String {
        format!("{}uploads/", self.base)
    }

    /// The prefix of all executions of one domain.
    pub fn flows(&self, project: &str, domain: &str) -> String {
        format!("{}{}/{}/", self.all_flows(), escape(project), escape(domain))
    }

    /// The keys of one execution.
    pub fn flow(&self, id: &WorkflowExecutionIdentifier) -> FlowRoot {
        FlowRoot { base: format!("{}{}", self.flows(&id.project, &id.domain), escape(&id.name)) }
    }
}

/// The keys of one execution of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRoot {
    base: String,
}

impl FlowRoot {
    /// The prefix of everything.
    pub fn everything(&self) -> String {
        format!("{}/", self.base)
    }

    /// What is run; written once, and the execution exists from then on.
    pub fn spec(&self) -> String {
        format!("{}/spec.pb", self.base)
    }

    /// The prefix of the journal's records.
    pub fn journal(&self) -> String {
        format!("{}/journal/", self.base)
    }

    /// The record of this number, from 1.
    pub fn record(&self, number: u64) -> String {
        format!("{}{number:08}", self.journal())
    }

    /// The inputs that a node was given; those of the execution where `node` is empty.
    pub fn inputs(&self, node: &str) -> String {
        match node {
            "" => format!("{}/inputs.pb", self.base),
            node => format!("{}/nodes/{}/inputs.pb", self.base, escape(node)),
        }
    }

    /// The outputs that a node has; of the workflow itself where `node` is empty.
    pub fn outputs(&self, node: &str) -> String {
        match node {
            "" => format!("{}/outputs.pb", self.base),
            node => format!("{}/nodes/{}/outputs.pb", self.base, escape(node)),
        }
    }
}

/// `text` as one part of a key: everything but letters, digits, `.`, `_` and `-` as `%` and two digits of hexadecimal
/// for each byte. Never empty, `.` or `..`.
pub fn escape(text: &str) -> String {
    if text.is_empty() {
        return "%".to_owned();
    }
    let dots = text.bytes().all(|byte| byte == b'.');
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'.' if dots => part.push_str("%2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => part.push(char::from(byte)),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                part.push('%');
                part.push(char::from(DIGITS[usize::from(byte >> 4)]));
                part.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
    part
}

/// The text that [`escape`] made a part of; nothing when it made none such.
pub fn unescape(part: &str) -> Option<String> {
    if part == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    let text = String::from_utf8(bytes).ok()?;
    (escape(&text) == part).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn execution(name: &str) -> WorkflowExecutionIdentifier {
        let (project, domain) = ("p".to_owned(), "d/e".to_owned());
        WorkflowExecutionIdentifier { project, domain, name: name.to_owned(), ..Default::default() }
    }

    #[test]
    fn keys() {
        let root = FlyteRoot::new("a/b");
        let id = Identifier { project: "p".to_owned(), name: "wf.f".to_owned(), ..Default::default() };
        let id = Identifier { domain: "d".to_owned(), version: "x/y".to_owned(), ..id };
        assert_eq!(root.entity(Kind::Task, &id), "a/b/flyte/entities/p/d/tasks/wf.f/x%2fy");
        assert_eq!(root.flow(&execution("e")).outputs("n0"), "a/b/flyte/executions/p/d%2fe/e/nodes/n0/outputs.pb");
        assert_eq!(FlyteRoot::new("").running(&execution("e")), "flyte/running/p/d%2fe/e");
    }

    #[test]
    fn a_mark_names_its_execution() {
        let root = FlyteRoot::new("a");
        for name in ["e", "x-1", "odd name/.."] {
            assert_eq!(root.marked(&root.running(&execution(name))), Some(execution(name)));
        }
        for key in ["a/flyte/running/p/d", "a/flyte/running/p/d/e/f", "a/flyte/executions/p/d/e", "flyte/running/p/d/e"]
        {
            assert_eq!(root.marked(key), None, "{key}");
        }
    }

    #[test]
    fn later_executions_are_listed_first() {
        let root = FlyteRoot::new("");
        let entries = [1_795_379_892_001, 1_795_379_892_000, 0].map(|at| root.index_entry(&execution("e/1"), at));
        assert!(entries.is_sorted_by(|one, other| one < other), "{entries:?}");
        assert_eq!(root.indexed("p", "d/e", &entries[0]), Some("e/1".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_one_part_of_a_key(text in ".{0,12}") {
            let part = escape(&text);
            prop_assert!(!part.contains('/') && !part.is_empty() && part != "." && part != "..");
            prop_assert_eq!(unescape(&part), Some(text));
        }

        #[test]
        fn no_part_breaks_the_reader(part in ".{0,12}") {
            if let Some(text) = unescape(&part) {
                prop_assert_eq!(escape(&text), part);
            }
        }
    }
}
