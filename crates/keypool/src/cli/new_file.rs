//! Files that a command makes for its user: readable by nobody else, and never over one that is there unless
//! that was asked for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::Failure;

/// Fails if a file is there that must not be written over.
pub(super) fn refuse_if_there(path: &Path, force: bool) -> Result<(), Failure> {
    // A link that leads nowhere is there, too.
    if !force && path.symlink_metadata().is_ok() {
        let message = format!(
            "{} is there already; --force writes over it",
            path.display()
        );
        return Err(anyhow!(message).into());
    }
    Ok(())
}

/// Writes a file. Directories on the way to it are made; one that is written over is replaced at once.
pub(super) fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    refuse_if_there(path, force)?;
    let cannot = || format!("cannot write {}", path.display());
    if let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(directory).with_context(cannot)?;
    }
    let written = if force {
        // Where a link leads, so that it stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let draft = draft_of(&path);
        write_new(&draft, text).and_then(|()| fs::rename(&draft, &path))
    } else {
        write_new(path, text)
    };
    Ok(written.with_context(cannot)?)
}

fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
