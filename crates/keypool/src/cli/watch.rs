//! Noticing that a file has changed, by looking. Notifications differ by system and miss the ways in which
//! editors and orchestrators replace files; a look a second costs nothing.

use std::path::PathBuf;
use std::time::SystemTime;

/// What tells one state of a file from another.
type Stamp = Option<(SystemTime, u64)>;

/// Watches the files that a configuration is made of.
pub(super) struct Watch {
    files: Vec<(PathBuf, Stamp)>,
    /// A change seen at the last look. It counts once a second look finds it unchanged: until then
    /// somebody may be in the middle of writing.
    unsettled: Option<Vec<Stamp>>,
}

impl Watch {
    /// Begins to watch.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let mut watch = Self {
            files: Vec::new(),
            unsettled: None,
        };
        watch.follow(files);
        watch
    }

    /// Watches further files.
    pub(super) fn follow(&mut self, files: &[PathBuf]) {
        for file in files {
            if !self.files.iter().any(|(known, _)| known == file) {
                self.files.push((file.clone(), stamp(file)));
            }
        }
    }

    /// Looks whether anything has changed since the last change that was reported.
    pub(super) fn has_changed(&mut self) -> bool {
        let seen: Vec<_> = self.files.iter().map(|(file, _)| stamp(file)).collect();
        if self.files.iter().map(|(_, stamp)| stamp).eq(&seen) {
            self.unsettled = None;
            return false;
        }
        if self.unsettled.as_ref() != Some(&seen) {
            self.unsettled = Some(seen);
            return false;
        }
        self.unsettled = None;
        for ((_, known), seen) in self.files.iter_mut().zip(seen) {
            *known = seen;
        }
        true
    }
}

fn stamp(file: &PathBuf) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_reported_once_it_has_settled() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.json");
        std::fs::write(&file, "{}").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&file));
        assert!(!watch.has_changed());
        std::fs::write(&file, "{ half a").unwrap();
        assert!(!watch.has_changed(), "it may still be written to");
        std::fs::write(&file, "{ half a file, and the rest }").unwrap();
        assert!(!watch.has_changed(), "it was still written to");
        assert!(watch.has_changed());
        assert!(!watch.has_changed(), "a change is reported once");
        std::fs::remove_file(&file).unwrap();
        assert!(!watch.has_changed());
        assert!(watch.has_changed());
    }
}
