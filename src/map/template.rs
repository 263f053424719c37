//! The templates in a command's arguments.
//!
//! | template | becomes |
//! | --- | --- |
//! | `{{.inputs.NAME}}` | the input's text; of a file, its path in the container |
//! | `{{.inputDir}}` | the directory with one file for each input |
//! | `{{.outputDir}}` | the directory for output files |
//! | `{{.outputPrefix}}` | the subtask's address in S3, as Flyte has it |
//! | `{{.rawOutputDataPrefix}}` | the attempt's address in S3 for files, as Flyte has it |
//! | `{{.checkpointDir}}` | the directory that is saved for the next attempt |
//! | `{{.checkpointOutputPrefix}}` | the attempt's address in S3 for checkpoints of the command's own, as Flyte has it |
//! | `{{.prevCheckpointPrefix}}` | that of the newest earlier attempt that left something there, else `""` |
//!
//! Spaces inside the braces are allowed, and case does not matter except in NAME. Braces with no dot after them are
//! other text, left alone; `\{{` writes braces that would be a template. An argument is parsed once and rendered from
//! its pieces, so a value that looks like a template stays as it is.

use std::collections::BTreeSet;
use std::fmt;

/// One piece of an argument.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// The input of this name.
    Input(String),
    /// The directory of input files.
    InputDir,
    /// The directory for output files.
    OutputDir,
    /// The subtask's address in S3.
    OutputPrefix,
    /// The attempt's address in S3 for files.
    RawOutputPrefix,
    /// The directory that is saved for the next attempt.
    CheckpointDir,
    /// The attempt's address in S3 for checkpoints.
    CheckpointPrefix,
    /// The address of an earlier attempt's.
    PreviousCheckpoint,
}

/// The templates other than inputs, as they are written.
const PLAIN: [(&str, Piece); 7] = [
    ("inputDir", Piece::InputDir),
    ("outputDir", Piece::OutputDir),
    ("outputPrefix", Piece::OutputPrefix),
    ("rawOutputDataPrefix", Piece::RawOutputPrefix),
    ("checkpointDir", Piece::CheckpointDir),
    ("checkpointOutputPrefix", Piece::CheckpointPrefix),
    ("prevCheckpointPrefix", Piece::PreviousCheckpoint),
];

/// A template that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What stands between the braces, or from the open braces on when they are not closed.
    pub found: String,
    /// Whether the braces are closed.
    pub closed: bool,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.closed {
            return write!(f, "{:?} is a template that is never closed; end it with }}}}", self.found);
        }
        write!(f, "{{{{{}}}}} is no template (there are {{{{.inputs.NAME}}}}", self.found)?;
        for (name, _) in PLAIN {
            write!(f, ", {{{{.{name}}}}}")?;
        }
        f.write_str("; write \\{{ for braces that are meant as they stand)")
    }
}

impl std::error::Error for TemplateError {}

/// Splits an argument into its pieces.
///
/// # Errors
/// When braces with a dot after them are not closed, or hold none of the templates.
pub fn parse(argument: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = argument;
    while let Some(at) = rest.find("{{") {
        let (before, open) = rest.split_at(at);
        let inside = &open[2..];
        if let Some(kept) = before.strip_suffix('\\') {
            text.push_str(kept);
            text.push_str("{{");
            rest = inside;
        } else if !inside.trim_start().starts_with('.') {
            // Only one brace is passed over: in `{{{.inputs.x}}` the template begins at the second.
            text.push_str(before);
            text.push('{');
            rest = &open[1..];
        } else {
            text.push_str(before);
            let unclosed = || TemplateError { found: open.chars().take(40).collect(), closed: false };
            let (found, after) = inside.split_once("}}").ok_or_else(unclosed)?;
            let template = template(found).ok_or_else(|| TemplateError { found: found.to_owned(), closed: true })?;
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(template);
            rest = after;
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// What stands between the braces, as a piece.
fn template(found: &str) -> Option<Piece> {
    let name = found.trim().strip_prefix('.')?;
    if let Some((inputs, input)) = name.split_once('.') {
        let named = inputs.eq_ignore_ascii_case("inputs") && !input.is_empty();
        return (named && !input.contains(char::is_whitespace)).then(|| Piece::Input(input.to_owned()));
    }
    PLAIN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, piece)| piece.clone())
}

/// The names of the inputs that a command's templates use.
///
/// # Errors
/// When an argument holds something that looks like a template and is none; the message names it and those there are.
pub fn input_names(command: &[String]) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for (at, argument) in command.iter().enumerate() {
        let pieces = parse(argument).map_err(|error| format!("command[{at}]: {error}"))?;
        names.extend(pieces.into_iter().filter_map(|piece| match piece {
            Piece::Input(name) => Some(name),
            _ => None,
        }));
    }
    Ok(names)
}

/// Whether a command has this template; a malformed argument has none.
pub fn mentions(command: &[String], piece: &Piece) -> bool {
    command.iter().any(|argument| parse(argument).is_ok_and(|pieces| pieces.contains(piece)))
}

/// Puts an argument together; `value` says what a piece other than text becomes.
///
/// # Errors
/// The first that `value` gives.
pub fn render<E>(pieces: &[Piece], mut value: impl FnMut(&Piece) -> Result<String, E>) -> Result<String, E> {
    let mut argument = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => argument.push_str(text),
            other => argument.push_str(&value(other)?),
        }
    }
    Ok(argument)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn rendered(argument: &str) -> String {
        let pieces = parse(argument).unwrap();
        let result: Result<String, Infallible> = render(&pieces, |piece| {
            Ok(match piece {
                Piece::Input(name) => format!("<{name}>"),
                other => format!("<{other:?}>"),
            })
        });
        result.unwrap()
    }

    #[test]
    fn templates() {
        for (argument, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{{.inputs.x}}", "<x>"),
            ("{{ .inputs.x }}", "<x>"),
            ("{{.Inputs.x}}{{.INPUTS.Y}}", "<x><Y>"),
            ("a{{.inputs.a_b-c}}b", "a<a_b-c>b"),
            ("{{.inputs.a.b}}", "<a.b>"),
            ("{{.inputDir}}/x", "<InputDir>/x"),
            ("{{ .outputDir }}", "<OutputDir>"),
            ("{{.OutputPrefix}} {{.rawOutputDataPrefix}}", "<OutputPrefix> <RawOutputPrefix>"),
            ("{{.checkpointOutputPrefix}}{{.prevCheckpointPrefix}}", "<CheckpointPrefix><PreviousCheckpoint>"),
            ("{{{.inputs.x}}}", "{<x>}"),
            ("{{x}} {{ }} {{", "{{x}} {{ }} {{"),
            ("{{{{.inputs.x}}", "{{<x>"),
            ("\\{{.Names}} {{.inputs.x}}", "{{.Names}} <x>"),
            ("\\d{2}", "\\d{2}"),
            ("\u{e9}{{.inputs.x}}\u{e9}", "\u{e9}<x>\u{e9}"),
        ] {
            assert_eq!(rendered(argument), expected, "{argument}");
        }
    }

    #[test]
    fn what_is_no_template_is_named() {
        for argument in
            ["{{.x}}", "{{.inputs}}", "{{.inputs.}}", "{{.inputs.a b}}", "{{.outputs.x}}", "{{.}}", "{{.inputs.x"]
        {
            assert!(parse(argument).is_err(), "{argument}");
        }
        let message = input_names(&["ok".to_owned(), "{{.Names}}".to_owned()]).unwrap_err();
        assert!(message.starts_with("command[1]: {{.Names}} is no template"), "{message}");
        assert!(message.contains("{{.inputs.NAME}}, {{.inputDir}}") && message.contains("\\{{"), "{message}");
    }

    #[test]
    fn mentioned() {
        let command = ["a", "{{.checkpointDir}}/x", "{{.broken"].map(str::to_owned);
        assert!(mentions(&command, &Piece::CheckpointDir));
        assert!(!mentions(&command, &Piece::PreviousCheckpoint));
    }

    #[test]
    fn names() {
        let command = ["{{.inputs.b}}-{{.inputs.a}}", "{{.inputs.b}}", "{{.inputDir}}"].map(str::to_owned);
        assert_eq!(input_names(&command), Ok(["a", "b"].map(str::to_owned).into()));
    }

    proptest! {
        #[test]
        fn text_without_templates_is_left_alone(argument in "[a-z{} ]{0,20}") {
            prop_assert_eq!(rendered(&argument), argument);
        }

        #[test]
        fn no_argument_breaks_the_parser(argument in "[a-z{}.\\\\ \u{e9}]{0,20}") {
            let _ = parse(&argument);
        }
    }
}
