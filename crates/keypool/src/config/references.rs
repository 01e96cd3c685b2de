//! Secrets that stand elsewhere: `$VAR`, `${VAR}`, `file:/path`. A reference that leads nowhere is an error
//! naming it, never a key that reads `$ANTHROPIC_KEY`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Looks a variable up. An argument, so that tests need no variables of their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Most bytes read from a file that holds a secret; keys are a few hundred at most.
const SECRET_FILE_BYTES: u64 = 64 * 1024;

/// Where a configured text comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    /// It stands for itself.
    Literal(&'a str),
    /// An environment variable.
    Variable(&'a str),
    /// A file.
    File(&'a str),
}

impl<'a> Reference<'a> {
    /// Tells the three forms apart.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file:") {
            return match path.strip_prefix("//").unwrap_or(path) {
                "" => Err("names no file: write file:/path".to_owned()),
                path => Ok(Self::File(path)),
            };
        }
        let Some(rest) = text.strip_prefix('$') else {
            return Ok(Self::Literal(text));
        };
        let braced = rest
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        let name = braced.unwrap_or(rest);
        if is_variable_name(name) {
            Ok(Self::Variable(name))
        } else {
            Err("begins with $ and is no reference: write $VAR or ${VAR}, alone".to_owned())
        }
    }

    /// The text referred to, or why it cannot be had. The file read, if any, goes to `files`.
    pub(super) fn resolve(
        &self,
        environment: Environment<'_>,
        directory: &Path,
        files: &mut Vec<PathBuf>,
    ) -> Result<String, String> {
        match self {
            Self::Literal(text) => Ok((*text).to_owned()),
            Self::Variable(name) => match environment(name) {
                None => Err(format!("the environment variable {name} is not set")),
                Some(value) if value.trim().is_empty() => {
                    Err(format!("the environment variable {name} is empty"))
                }
                Some(value) => Ok(value.trim().to_owned()),
            },
            Self::File(path) => {
                let path = directory.join(path);
                let text = read_secret(&path);
                files.push(path);
                text
            }
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn read_secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(SECRET_FILE_BYTES).read_to_string(&mut text))
        .map_err(|error| format!("the file {shown} cannot be read: {error}"))?;
    match text.trim() {
        "" => Err(format!("the file {shown} is empty")),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, directory: &Path) -> Result<String, String> {
        let environment = |name: &str| match name {
            "KEY_1" => Some("sk-from-the-environment".to_owned()),
            "BLANK" => Some("  ".to_owned()),
            _ => None,
        };
        Reference::parse(text)?.resolve(&environment, directory, &mut Vec::new())
    }

    #[test]
    fn a_variable_is_read_in_both_spellings_and_an_unset_or_empty_one_is_an_error() {
        // acceptance 14
        let here = Path::new(".");
        assert_eq!(
            resolved("$KEY_1", here).as_deref(),
            Ok("sk-from-the-environment")
        );
        assert_eq!(
            resolved("${KEY_1}", here).as_deref(),
            Ok("sk-from-the-environment")
        );
        assert_eq!(resolved("sk-literal", here).as_deref(), Ok("sk-literal"));
        let unset = resolved("$KEY_2", here).unwrap_err();
        assert_eq!(unset, "the environment variable KEY_2 is not set");
        assert!(
            resolved("$BLANK", here)
                .unwrap_err()
                .contains("BLANK is empty")
        );
        for broken in ["$", "${KEY_1", "$KEY-1", "$KEY_1 and more", "$1"] {
            assert!(
                resolved(broken, here).unwrap_err().contains("write $VAR"),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_file_is_read_and_trimmed_and_found_beside_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "sk-from-a-file\n").unwrap();
        std::fs::write(directory.path().join("blank"), "\n").unwrap();
        let text = |reference: &str| resolved(reference, directory.path());
        assert_eq!(text("file:key").as_deref(), Ok("sk-from-a-file"));
        assert_eq!(
            text(&format!("file:{}", path.display())).as_deref(),
            Ok("sk-from-a-file")
        );
        assert_eq!(
            text(&format!("file://{}", path.display())).as_deref(),
            Ok("sk-from-a-file")
        );
        assert!(text("file:blank").unwrap_err().contains("is empty"));
        assert!(text("file:missing").unwrap_err().contains("cannot be read"));
        assert!(text("file:").unwrap_err().contains("names no file"));
    }
}
