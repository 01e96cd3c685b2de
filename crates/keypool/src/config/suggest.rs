//! "Did you mean": most wrong names are right ones with a slip.

/// `; did you mean "…"?`, or nothing when no candidate is near. Case does not count.
#[must_use]
pub(super) fn did_you_mean<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let wanted = given.to_lowercase();
    // A third of the letters: beyond it a suggestion is more often wrong than right.
    let farthest = (wanted.chars().count() / 3).max(1);
    let distance =
        |candidate: &str| strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase());
    candidates
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min()
        .map_or_else(String::new, |(_, candidate)| {
            format!("; did you mean {candidate:?}?")
        })
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let strategies = [
            "round-robin",
            "lru",
            "least-loaded",
            "weighted",
            "fill-first",
        ];
        let hint = |given| did_you_mean(given, strategies.into_iter());
        assert_eq!(hint("least-load"), "; did you mean \"least-loaded\"?");
        assert_eq!(hint("LRU"), "; did you mean \"lru\"?");
        assert_eq!(hint("random"), "");
        assert_eq!(hint(""), "");
    }
}
