//! Where the configuration file is looked for.

use std::path::{Path, PathBuf};

use super::problem::LoadError;
use super::references::Environment;

/// The configuration file: the one asked for, else `$KEYPOOL_CONFIG`, else `./config.json`, else
/// `~/.config/keypool/config.json`. The first two are taken at their word, there or not.
pub fn locate(asked: Option<&Path>, environment: Environment<'_>) -> Result<PathBuf, LoadError> {
    if let Some(path) = asked {
        return Ok(path.to_owned());
    }
    if let Some(path) = environment("KEYPOOL_CONFIG").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let home = environment("HOME").or_else(|| environment("USERPROFILE"));
    let in_home = home.map(|home| Path::new(&home).join(".config/keypool/config.json"));
    let places: Vec<_> = std::iter::once(PathBuf::from("config.json"))
        .chain(in_home)
        .collect();
    if let Some(found) = places.iter().find(|place| place.is_file()) {
        return Ok(found.clone());
    }
    let unused = ["--config (not given)", "$KEYPOOL_CONFIG (not set)"].map(str::to_owned);
    let missing = places
        .iter()
        .map(|place| format!("{} (not there)", place.display()));
    Err(LoadError::NotFound(
        unused.into_iter().chain(missing).collect(),
    ))
}
