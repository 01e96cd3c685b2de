use proptest::prelude::*;

use super::*;

#[test]
fn anything_that_looks_like_a_key_is_masked() {
    for (text, shown) in [
        (
            "key sk-ant-api03-abcdef-XYZ1 is dead",
            "key sk-a****XYZ1 is dead",
        ),
        (
            "Incorrect API key provided: sk-proj-1234567890.",
            "Incorrect API key provided: sk-p****890.",
        ),
        (
            "(AIzaSyD-abcdefghijklmnopqrstuvwxyz12345)",
            "(AIza****2345)",
        ),
        ("token=gsk_abcdefghijklmnop", "toke****mnop"),
        ("use abcdefghij0123456789XYZ", "use abcd****9XYZ"),
        ("\"sk-short1\"", "\"****\""),
    ] {
        assert_eq!(excerpt(text), shown);
    }
}

#[test]
fn names_numbers_and_words_are_left_alone() {
    for text in [
        "model claude-sonnet-4-5-20250929 not found",
        "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8",
        "task-runner and disk-full are words",
        "request 3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "Limit 30000, Requested 40000. See https://platform.openai.com/account/rate-limits",
        "accessible-characteristically-uncharacteristically",
    ] {
        assert_eq!(excerpt(text), text);
    }
}

#[test]
fn an_excerpt_is_one_short_line() {
    assert_eq!(excerpt("  two\n\tlines \r\n here\u{0} "), "two lines here");
    let long = excerpt(&"wörd ".repeat(1000));
    assert_eq!(long.chars().count(), EXCERPT_CHARS_MAX);
    assert!(long.ends_with('…'));
    let exact = "a".repeat(EXCERPT_CHARS_MAX);
    assert_eq!(excerpt(&exact), exact);
}

proptest! {
    #[test]
    fn an_excerpt_is_bounded_and_free_of_line_breaks(text in ".*", repeat in 1_usize..50) {
        let shown = excerpt(&text.repeat(repeat));
        prop_assert!(shown.chars().count() <= EXCERPT_CHARS_MAX);
        prop_assert!(!shown.contains(char::is_control));
    }

    #[test]
    fn a_key_never_shows_whole(
        before in "[a-z ]{0,20}[ :=\"(]", key in "sk-[a-zA-Z0-9_-]{12,60}", after in "[ .,\")]|",
    ) {
        let shown = excerpt(&format!("{before}{key}{after}"));
        prop_assert!(!shown.contains(&key), "{}", shown);
    }
}
