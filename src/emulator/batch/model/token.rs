//! Paging tokens: where a list goes on, bound to the list. A token names a job or child, never a count of those told: it stays
//! right while others change their state.

use super::Refusal;

/// A token for the list called `scope` that goes on at `place`.
pub(super) fn encode(scope: &str, place: u32) -> String {
    format!("{place:08x}{}", seal(scope, place))
}

/// The place behind a token.
///
/// # Errors
/// It is none of ours, or of another list.
pub(super) fn decode(scope: &str, token: &str) -> Result<u32, Refusal> {
    let place = token.get(..8).and_then(|place| u32::from_str_radix(place, 16).ok());
    place.filter(|place| encode(scope, *place) == token).ok_or_else(|| {
        Refusal(format!(
            "nextToken '{token}' is not valid; use the one that the page before gave, with the same request"
        ))
    })
}

fn seal(scope: &str, place: u32) -> String {
    blake3::hash(format!("{scope}/{place}").as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_its_list() {
        let token = encode("a", 70_000);
        assert_eq!(decode("a", &token).unwrap(), 70_000);
        let upper = token.to_uppercase();
        for wrong in ["", "7", "x", "äöüß", &token[1..], &format!("{token}0"), &upper, &encode("b", 70_000)] {
            assert!(decode("a", wrong).is_err(), "{wrong}");
        }
    }
}
