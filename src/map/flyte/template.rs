//! The templates in a Flyte command's arguments, as Flyte's propeller renders them.
//!
//! They look like batchmap's own ([`crate::map::template`]) but are read otherwise: case never matters, `$` may stand
//! in place of the dot, and braces that hold anything else are left alone. An argument is read once, so a value that
//! looks like a template stays as it is.

/// One piece of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// `{{.input}}`: the file of the inputs.
    Input,
    /// `{{.inputPrefix}}`: the directory of that file.
    InputPrefix,
    /// `{{.outputPrefix}}`: where the outputs go.
    OutputPrefix,
    /// `{{.rawOutputDataPrefix}}`: where files go.
    RawOutputPrefix,
    /// `{{.checkpointOutputPrefix}}`: where checkpoints go.
    CheckpointPrefix,
    /// `{{.prevCheckpointPrefix}}`: where an earlier attempt's are.
    PreviousCheckpoint,
    /// `{{.perRetryUniqueKey}}`: a name that differs for each attempt.
    UniqueKey,
    /// `{{.inputs.NAME}}`: the text of an input.
    Value(String),
    /// What propeller knows and a job does not have: refused when the task is registered.
    Unknown(&'static str),
}

const PLAIN: [(&str, Piece); 9] = [
    ("taskTemplatePath", Piece::Unknown("taskTemplatePath")),
    ("namespace", Piece::Unknown("namespace")),
    ("input", Piece::Input),
    ("inputPrefix", Piece::InputPrefix),
    ("outputPrefix", Piece::OutputPrefix),
    ("rawOutputDataPrefix", Piece::RawOutputPrefix),
    ("checkpointOutputPrefix", Piece::CheckpointPrefix),
    ("prevCheckpointPrefix", Piece::PreviousCheckpoint),
    ("perRetryUniqueKey", Piece::UniqueKey),
];

/// Bytes between the braces of a template at most.
const LONGEST: usize = 1024;

/// Splits an argument into its pieces.
pub fn parse(argument: &str) -> Vec<Piece> {
    let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), argument);
    while let Some(at) = rest.find("{{") {
        let (before, open) = rest.split_at(at);
        text.push_str(before);
        match template(&open[2..]) {
            Some((piece, after)) => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(piece);
                rest = after;
            }
            // Only one brace is passed over: in `{{{.input}}` the template begins at the second.
            None => {
                text.push('{');
                rest = &open[1..];
            }
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// The template whose braces have just been opened, and what follows it.
fn template(inside: &str) -> Option<(Piece, &str)> {
    // A name holds no brace, and is not longer than what stands for it may be: the rest is not searched for its end.
    let end = inside.bytes().take(LONGEST).position(|byte| matches!(byte, b'{' | b'}'))?;
    let (found, after) = (&inside[..end], inside[end..].strip_prefix("}}")?);
    let name = found.trim().strip_prefix(['.', '$'])?;
    let piece = match name.split_once('.') {
        Some((inputs, input)) => {
            let named = inputs.eq_ignore_ascii_case("inputs") && !input.is_empty();
            (named && !input.contains(char::is_whitespace)).then(|| Piece::Value(input.to_owned()))?
        }
        None => PLAIN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1.clone(),
    };
    Some((piece, after))
}

/// Whether a command has this template.
pub fn mentions(command: &[String], piece: &Piece) -> bool {
    command.iter().any(|argument| parse(argument).contains(piece))
}

/// Puts an argument together; `value` says what a piece other than text becomes.
///
/// # Errors
/// The first that `value` gives.
pub fn render<E>(argument: &str, mut value: impl FnMut(&Piece) -> Result<String, E>) -> Result<String, E> {
    let mut rendered = String::new();
    for piece in parse(argument) {
        match piece {
            Piece::Text(text) => rendered.push_str(&text),
            other => rendered.push_str(&value(&other)?),
        }
    }
    Ok(rendered)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn rendered(argument: &str) -> String {
        let result: Result<String, Infallible> = render(argument, |piece| {
            Ok(match piece {
                Piece::Value(name) => format!("<{name}>"),
                other => format!("<{other:?}>"),
            })
        });
        result.unwrap()
    }

    #[test]
    fn templates() {
        for (argument, expected) in [
            ("", ""),
            ("{{.input}}", "<Input>"),
            ("{{ .Input }}/{{$inputs.x}}", "<Input>/<x>"),
            ("{{.outputPrefix}}/0", "<OutputPrefix>/0"),
            ("{{.rawOutputDataPrefix}}{{.checkpointOutputPrefix}}", "<RawOutputPrefix><CheckpointPrefix>"),
            ("{{.prevCheckpointPrefix}} {{.perRetryUniqueKey}}", "<PreviousCheckpoint> <UniqueKey>"),
            ("{{{.inputs.x}}}", "{<x>}"),
            ("\\{{.inputs.x}}", "\\<x>"),
            ("{{.Names}} {{x}} {{.inputs.}} {{.inputs.a b}} {{", "{{.Names}} {{x}} {{.inputs.}} {{.inputs.a b}} {{"),
            ("{{.bad {{.input}}", "{{.bad <Input>"),
        ] {
            assert_eq!(rendered(argument), expected, "{argument}");
        }
    }

    #[test]
    fn braces_without_end_are_passed_over() {
        for argument in ["{".repeat(1 << 20), "{{.".repeat(1 << 18), format!("{{{{{}}}}}", " ".repeat(1 << 20))] {
            assert_eq!(rendered(&argument), argument);
        }
    }

    proptest! {
        #[test]
        fn no_argument_breaks_it(argument in "[a-z{}.$ \u{e9}]{0,24}") {
            let _ = rendered(&argument);
        }
    }
}
