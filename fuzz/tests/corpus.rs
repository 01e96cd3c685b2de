//! Replays the corpus of each target: real shapes, and what explorations have found.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use keypool_fuzz::TARGETS;

/// Bytes of all of it; it stands in the repository.
const CORPUS_BYTES_MAX: u64 = 400_000;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(target: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(corpus().join(target)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let files = files(name);
    assert!(!files.is_empty());
    for file in files {
        // The name of the file that breaks a promise is the last one shown.
        println!("{}", file.display());
        (target.check)(&fs::read(file).unwrap());
    }
    (target.check)(b"");
}

#[test]
fn request_bodies_are_read_as_serde_json_reads_them_and_changed_in_their_model_alone() {
    replay("peek");
}

#[test]
fn streams_give_the_same_events_however_they_are_cut() {
    replay("stream");
}

#[test]
fn plain_answers_cost_what_a_naive_reading_says() {
    replay("usage");
}

#[test]
fn no_error_answer_is_judged_into_the_past_or_shows_a_key() {
    replay("errors");
}

#[test]
fn quotas_are_never_absurd() {
    replay("quota");
}

#[test]
fn errors_of_a_configuration_have_their_place_and_show_no_key() {
    replay("config");
}

#[test]
fn what_is_translated_is_well_formed_in_the_other_api_and_ends_once() {
    replay("translate");
}

#[test]
fn each_target_has_its_corpus_and_each_corpus_its_target() {
    let directories: BTreeSet<_> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let targets: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(directories, targets);
}

#[test]
fn the_corpus_is_small() {
    let bytes: u64 = TARGETS
        .iter()
        .flat_map(|target| files(target.name))
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes");
}
