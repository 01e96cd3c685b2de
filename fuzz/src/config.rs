//! The configuration file: an error names a place that is there, and no output shows a secret.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use keypool::config::{LoadError, Loaded, Position, Problem, load};
use tempfile::TempDir;

use crate::secret::{assert_hidden, plant_where, planted};

/// Loads the bytes as a file.
pub fn check(data: &[u8]) {
    // References to files of the system: what they hold is nobody's promise, and some never end.
    if data
        .windows(4)
        .any(|bytes| matches!(bytes, b"/dev" | b"/pro"))
    {
        return;
    }
    let Some(planted) = plant_where(data, is_secret) else {
        return;
    };
    let loaded = load_bytes(&planted);
    let Ok(text) = str::from_utf8(&planted) else {
        assert!(matches!(loaded, Err(LoadError::Unreadable { .. })));
        return;
    };
    match loaded {
        Ok(loaded) => assert_sound(text, &loaded),
        Err(error) => {
            assert_hidden(&error.to_string(), "an error");
            assert_hidden(&format!("{error:?}"), "an error's debug form");
            if let LoadError::Invalid { problems, .. } = error {
                assert!(!problems.is_empty(), "a refusal without a reason");
                assert_placed(text, &problems);
            }
        }
    }
}

/// Whether a string that begins here is the value of a field for secrets. Where another text belongs,
/// a key is shown like that text unless it is easily told for one.
fn is_secret(before: &[u8]) -> bool {
    const FIELDS: [&[u8]; 4] = [b"key", b"api_key", b"APIKEY", b"token"];
    let name = before
        .strip_suffix(b"\"")
        .and_then(|before| before.trim_ascii_end().strip_suffix(b":"))
        .map(<[u8]>::trim_ascii_end)
        .unwrap_or_default();
    let name = name.strip_suffix(b"\"").unwrap_or(name);
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let start = name.iter().rposition(|byte| !is_part(byte));
    let name = name.get(start.map_or(0, |at| at + 1)..).unwrap_or_default();
    FIELDS.contains(&name)
}

fn load_bytes(data: &[u8]) -> Result<Loaded, LoadError> {
    static DIRECTORY: LazyLock<Option<TempDir>> = LazyLock::new(|| tempfile::tempdir().ok());
    let Some(directory) = &*DIRECTORY else {
        panic!("no directory for the file");
    };
    let path = path_of_this_thread(directory.path());
    if let Err(error) = std::fs::write(&path, data) {
        panic!("the file cannot be written: {error}");
    }
    let environment = |name: &str| match name {
        "KEY" => Some(planted()),
        "URL" => Some("https://llm.example.com/v1".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    load(&path, &environment)
}

fn path_of_this_thread(directory: &Path) -> PathBuf {
    directory.join(format!("{:?}.json", std::thread::current().id()))
}

fn assert_sound(text: &str, loaded: &Loaded) {
    assert_hidden(&format!("{loaded:?}"), "a configuration's debug form");
    for warning in &loaded.warnings {
        assert_hidden(&warning.to_string(), "a warning");
    }
    assert_placed(text, &loaded.warnings);
    for provider in &loaded.gateway.providers {
        for key in &provider.keys {
            let secret = key.secret.expose();
            assert!(!secret.is_empty() && secret.chars().all(|c| c.is_ascii_graphic()));
        }
    }
}

/// Each problem is one line, at a place of the file, in the order of the file.
fn assert_placed(text: &str, problems: &[Problem]) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lengths: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    for problem in problems {
        let Position { line, column } = problem.at;
        let length = line.checked_sub(1).and_then(|index| lengths.get(index));
        let is_there = length.is_some_and(|length| (1..=length + 1).contains(&column));
        assert!(is_there, "{problem} is not in the file");
        let shown = problem.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
    assert!(problems.is_sorted(), "not in the order of the file");
}
