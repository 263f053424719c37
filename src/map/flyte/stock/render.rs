//! The command line and the environment that all children of an array share.

use std::collections::BTreeMap;

use super::{has_shell, quoted};
use crate::idl::record::TaskRecord;
use crate::idl::record::flyte::{Kind, Runner};
use crate::map::flyte::template::{self, Piece};
use crate::map::layout::{ENV_ELEMENT, Place, Root};
use crate::map::plan::{Members, Packs};

/// `<job>/<child>/<attempt>`: what a child adds to the places of its array. Job ids of children end in `:<child>`.
const CHILD: &str = "BATCHMAP_CHILD";
/// Where the attempt before has left its checkpoint; empty when it has left none.
const PREVIOUS: &str = "BATCHMAP_PREVIOUS";
/// Finds that out, with flytekit's own means: only it knows how the task reaches S3. It prints the address.
const FIND_PREVIOUS: &str = include_str!("previous.py");
/// Where a process of this machine works.
const WORK: &str = "BATCHMAP_WORK";

/// An array whose children have no worker.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    /// The execution's bucket.
    pub bucket: &'a str,
    /// The execution's keys.
    pub root: &'a Root,
    /// The array's number.
    pub number: u32,
    /// Its subtasks.
    pub members: &'a Members,
    /// Where the staged inputs are.
    pub packs: &'a Packs,
    /// How often Batch may start each child.
    pub attempts: u32,
    /// Whether a child of it may go on from a checkpoint: then [`Root::array_previous`] says which.
    pub previous: bool,
}

/// What an array is submitted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The container's command.
    pub command: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
}

/// Renders the command of `record` for an array; `runner` is who runs it, and not the worker.
pub fn render(record: &TaskRecord, runner: Runner, array: &Array) -> Rendered {
    let renderer = Renderer { record, array, shell: has_shell(runner) };
    let mut environment = record.environment.clone();
    if renderer.is_map() {
        environment.extend(renderer.indices());
    }
    let command = match renderer.shell {
        true => ["sh".to_owned(), "-c".to_owned(), renderer.script(runner == Runner::StockProcess)].into(),
        false => record.command.iter().map(|word| never_empty(renderer.plain(word))).collect(),
    };
    Rendered { command, environment }
}

/// Batch takes no empty argument. Where flytekit has one, it is a list of names.
fn never_empty(word: String) -> String {
    if word.is_empty() { ",".to_owned() } else { word }
}

struct Renderer<'a> {
    record: &'a TaskRecord,
    array: &'a Array<'a>,
    shell: bool,
}

/// A place: the same for all children, and then what each adds to it.
struct Value {
    shared: String,
    own: Option<&'static str>,
}

impl Renderer<'_> {
    fn is_map(&self) -> bool {
        self.record.flyte.as_ref().is_some_and(|flyte| flyte.kind() == Kind::Map)
    }

    /// Which element is each child's.
    fn indices(&self) -> [(String, String); 3] {
        // A job that is no array has no index of Batch's, and no name of that kind may be given to it.
        let variable = if self.array.members.len() > 1 { "AWS_BATCH_JOB_ARRAY_INDEX" } else { ENV_ELEMENT };
        [
            ("BATCH_JOB_ARRAY_INDEX_OFFSET", offset(self.array.packs, self.array.members).to_string()),
            ("BATCH_JOB_ARRAY_INDEX_VAR_NAME", variable.to_owned()),
            (ENV_ELEMENT, "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    fn script(&self, is_process: bool) -> String {
        let child = if self.array.members.len() > 1 { "$AWS_BATCH_JOB_ARRAY_INDEX" } else { "0" };
        let mut script = format!("{CHILD}=${{AWS_BATCH_JOB_ID%%:*}}/{child}/$AWS_BATCH_JOB_ATTEMPT; ");
        if self.looks_for_previous() {
            let base = self.address(self.array.root.children_checkpoints(self.array.number));
            let known = self.array.previous.then(|| self.address(self.array.root.array_previous(self.array.number)));
            let known = known.map(|known| format!(" {}", quoted(&known))).unwrap_or_default();
            let find = quoted(FIND_PREVIOUS.trim_end());
            script += &format!("{PREVIOUS}=$(python3 -c {find} {} \"${CHILD}\"{known}); ", quoted(&base));
        }
        let words: Vec<String> = self.record.command.iter().map(|word| self.shell_word(word)).collect();
        let words = words.join(" ");
        if is_process {
            return format!(
                "{WORK}=$(mktemp -d) && cd \"${WORK}\" && mkdir tmp && export TMPDIR=\"${WORK}/tmp\" || exit 76; \
                 {script}{words}; set -- $?; cd / && rm -rf \"${WORK}\"; exit $1"
            );
        }
        script + "exec " + &words
    }

    /// Whether an attempt can have a checkpoint before it.
    fn looks_for_previous(&self) -> bool {
        (self.array.attempts > 1 || self.array.previous)
            && template::mentions(&self.record.command, &Piece::PreviousCheckpoint)
    }

    /// A word of the script: what is the same for all children in single quotes, what is not behind it.
    fn shell_word(&self, word: &str) -> String {
        let (mut rendered, mut text) = (String::new(), String::new());
        for piece in template::parse(word) {
            let value = self.value(&piece);
            text.push_str(&value.shared);
            if let Some(own) = value.own {
                if !text.is_empty() {
                    rendered += &quoted(&std::mem::take(&mut text));
                }
                rendered += own;
            }
        }
        if !text.is_empty() || rendered.is_empty() {
            rendered += &quoted(&text);
        }
        rendered
    }

    fn plain(&self, word: &str) -> String {
        template::parse(word).iter().map(|piece| self.value(piece).shared).collect()
    }

    fn value(&self, piece: &Piece) -> Value {
        let (root, number) = (self.array.root, self.array.number);
        let same = |shared: String| Value { shared, own: None };
        match piece {
            Piece::Text(text) => same(text.clone()),
            Piece::Input => same(self.address(self.inputs())),
            Piece::OutputPrefix => self.place(self.address(root.children_outputs(number))),
            Piece::RawOutputPrefix => {
                let given = self.record.flyte.as_ref().map_or("", |flyte| flyte.raw_output_prefix.as_str());
                let own = || format!("{given}/{}/children/{number:06}/", root.id());
                let place = if given.is_empty() { self.address(root.children_raw(number)) } else { own() };
                Value { own: self.child(), shared: if self.shell { place } else { trimmed(&place) } }
            }
            Piece::CheckpointPrefix if self.shell => self.place(self.address(root.children_checkpoints(number))),
            // Without a shell all children would share one: flytekit takes an unfilled template for none.
            Piece::CheckpointPrefix => same("{{.checkpointOutputPrefix}}".to_owned()),
            Piece::PreviousCheckpoint if self.shell && self.looks_for_previous() => {
                Value { shared: String::new(), own: Some("\"$BATCHMAP_PREVIOUS\"") }
            }
            // What flytekit takes for none.
            Piece::PreviousCheckpoint => same("\"\"".to_owned()),
            Piece::UniqueKey => Value { shared: format!("{}-{number}-", root.id()), own: self.child_in_one_word() },
            // Refused when the task was converted.
            Piece::InputPrefix | Piece::Value(_) | Piece::Unknown(_) => same(String::new()),
        }
    }

    fn child(&self) -> Option<&'static str> {
        self.shell.then_some("\"$BATCHMAP_CHILD\"")
    }

    fn child_in_one_word(&self) -> Option<&'static str> {
        match (self.shell, self.array.members.len() > 1) {
            (false, _) => None,
            (true, true) => Some("\"$AWS_BATCH_JOB_ARRAY_INDEX-$AWS_BATCH_JOB_ATTEMPT\""),
            (true, false) => Some("\"0-$AWS_BATCH_JOB_ATTEMPT\""),
        }
    }

    /// A place below `prefix`, which ends in a slash. Without a shell a map appends the element's index itself, and a single
    /// task is the only one.
    fn place(&self, prefix: String) -> Value {
        let shared = match (self.shell, self.is_map()) {
            (true, _) => prefix,
            (false, true) => trimmed(&prefix),
            (false, false) => format!("{prefix}0"),
        };
        Value { shared, own: self.child() }
    }

    fn inputs(&self) -> String {
        match self.array.packs.place(self.array.members) {
            Place::Range { pack, .. } => self.array.root.inputs(self.record).pack(pack),
            Place::List => self.array.root.array_inputs(self.array.number),
        }
    }

    fn address(&self, key: String) -> String {
        format!("s3://{}/{key}", self.array.bucket)
    }
}

fn trimmed(place: &str) -> String {
    place.trim_end_matches('/').to_owned()
}

/// The place of child 0's element in what the children read.
pub fn offset(packs: &Packs, members: &Members) -> u32 {
    match packs.place(members) {
        Place::Range { position, .. } => position,
        Place::List => 0,
    }
}
