//! Valid bytes, changed a little.

use proptest::prelude::*;
use proptest::sample::Index;

/// One change.
#[derive(Clone, Debug)]
enum Change {
    /// A byte becomes another.
    Set(Index, u8),
    /// Some bytes go.
    Cut(Index, usize),
    /// Some bytes come.
    Insert(Index, Vec<u8>),
    /// Some bytes come twice.
    Double(Index, usize),
    /// A number becomes one that is hard to bear.
    Number(Index, &'static str),
    /// All that follows goes.
    End(Index),
}

/// Numbers at the edges of what anybody counts with.
const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "1e999",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "-9223372036854775808",
    "1.5",
    "99999999999999999999999999",
];

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        // Lengths and kinds of messages are small or all ones.
        (place(), prop::sample::select(vec![0_u8, 1, 0x7f, 0x80, 0xff])).prop_map(|(at, byte)| Change::Set(at, byte)),
        (place(), 1..40_usize).prop_map(|(at, count)| Change::Cut(at, count)),
        (place(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (place(), 1..40_usize).prop_map(|(at, count)| Change::Double(at, count)),
        (place(), prop::sample::select(NUMBERS.to_vec())).prop_map(|(at, number)| Change::Number(at, number)),
        place().prop_map(Change::End),
    ]
}

/// One of the seeds, changed up to six times; or nothing known at all.
pub fn changed(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let near = (prop::sample::select(seeds), prop::collection::vec(change(), 0..6)).prop_map(|(mut bytes, changes)| {
        changes.into_iter().for_each(|change| apply(&mut bytes, change));
        bytes
    });
    prop_oneof![9 => near, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

fn apply(bytes: &mut Vec<u8>, change: Change) {
    if bytes.is_empty() {
        return;
    }
    let span = |at: &Index, count: usize| {
        let start = at.index(bytes.len());
        start..(start + count).min(bytes.len())
    };
    match change {
        Change::Set(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        Change::Cut(at, count) => drop(bytes.drain(span(&at, count))),
        Change::Insert(at, new) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, new);
        }
        Change::Double(at, count) => {
            let range = span(&at, count);
            let again = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, again);
        }
        Change::Number(at, number) => {
            let from = at.index(bytes.len());
            let Some(start) = (from..bytes.len()).find(|&i| bytes[i].is_ascii_digit()) else { return };
            let end = (start..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
            bytes.splice(start..end, number.bytes());
        }
        Change::End(at) => bytes.truncate(at.index(bytes.len())),
    }
}
