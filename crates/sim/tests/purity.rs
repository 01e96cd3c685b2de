//! The model and the dialects know no clock, no chance of their own and no IO: only so can they judge
//! a pool in virtual time and replay a seed.

use std::fs;
use std::path::{Path, PathBuf};

/// What a pure module does not mention.
const FORBIDDEN: [&str; 9] = [
    "Instant::now",
    "SystemTime",
    "Rng::new()",
    "fastrand::u64",
    "tokio",
    "hyper",
    "std::net",
    "std::fs",
    "std::env",
];

#[cfg(test)]
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files
        .into_iter()
        .chain(folders.iter().flat_map(|folder| sources(folder)))
        .collect()
}

#[test]
fn the_model_and_the_dialects_have_no_clock_and_no_io() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<PathBuf> = ["model", "dialect"]
        .iter()
        .flat_map(|folder| sources(&root.join(folder)))
        .collect();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in FORBIDDEN {
            assert!(!text.contains(word), "{} mentions {word}", file.display());
        }
    }
}
