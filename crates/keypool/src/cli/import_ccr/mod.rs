//! `keypool import-ccr`: from a configuration of claude-code-router (versions 1 and 2) to one of keypool's that
//! does the same, as far as there is the same to do. What there is not is said.
//!
//! keypool reads the form of claude-code-router's `Providers` and `Router`, so they are kept; what is done here
//! is to leave out what keypool would refuse or not act on, and to see to the keys.

mod convert;
mod notes;
mod providers;
mod references;
mod routes;
mod url;
mod written;

use std::path::{Path, PathBuf};

use super::args::ImportArgs;
use super::{ENVIRONMENT, Failure, new_file, output};
use crate::config::{self, LoadError};
use convert::convert;
use notes::Notes;
use written::NewConfig;

/// Reads, converts, writes and reports.
pub(super) fn import(args: &ImportArgs) -> Result<(), Failure> {
    let source = match &args.path {
        Some(path) => path.clone(),
        None => usual_place()?,
    };
    for path in [Some(&args.output), args.keys_to_env.as_ref()]
        .into_iter()
        .flatten()
    {
        new_file::refuse_if_there(path, args.force)?;
    }
    let old = config::read_json5(&source)?;
    let mut notes = Notes::default();
    let mut new = convert(&old, ENVIRONMENT, &mut notes);
    if new.providers.is_empty() {
        let message = format!(
            "{}: no provider can be taken over{}",
            source.display(),
            notes.of_what_is_lost()
        );
        return Err(anyhow::anyhow!(message).into());
    }
    let literal = match &args.keys_to_env {
        Some(path) => {
            let variables = written::move_keys(&mut new);
            new_file::write(path, &written::variables_text(&variables)?, args.force)?;
            0
        }
        None => new.literal_secrets(),
    };
    new_file::write(&args.output, &new.text()?, args.force)?;
    output::print(&report(args, &source, &new, &notes, literal));
    Ok(())
}

fn usual_place() -> Result<PathBuf, Failure> {
    let home = ENVIRONMENT("HOME").or_else(|| ENVIRONMENT("USERPROFILE"));
    let home = home.filter(|home| !home.is_empty());
    let home = home.ok_or_else(|| Failure::Usage("name the file to import".to_owned()))?;
    Ok(Path::new(&home).join(".claude-code-router/config.json"))
}

fn report(
    args: &ImportArgs,
    source: &Path,
    new: &NewConfig,
    notes: &Notes,
    literal: usize,
) -> String {
    let path = args.output.display();
    let mut parts = vec![
        format!(
            "{path} is written from {}: {}\n",
            source.display(),
            new.summary()
        ),
        notes.of_what_is_changed(),
        notes.of_what_is_lost(),
    ];
    if literal > 0 {
        let stand = if literal == 1 {
            "secret stands"
        } else {
            "secrets stand"
        };
        parts.push(format!(
            "\n{literal} {stand} in {path} as in the old file; only you can read it. \
             --keys-to-env FILE keeps them out of it.\n"
        ));
    }
    if let Some(variables) = &args.keys_to_env {
        let variables = variables.display();
        parts.push(format!(
            "\nThe keys are in {variables}, which only you can read. Before you start: \
             set -a; . {variables}; set +a\n"
        ));
    }
    match config::load(&args.output, ENVIRONMENT) {
        Ok(loaded) if loaded.warnings.is_empty() => {}
        Ok(loaded) => {
            parts.push("\nWorth a look:\n".to_owned());
            let warnings = loaded.warnings.iter();
            parts.extend(warnings.map(|warning| format!("  {path}:{warning}\n")));
        }
        Err(LoadError::Invalid { problems, .. }) if args.keys_to_env.is_none() => {
            parts.push("\nTo be settled before it starts:\n".to_owned());
            parts.extend(
                problems
                    .iter()
                    .map(|problem| format!("  {path}:{problem}\n")),
            );
        }
        // The keys are in a file that no shell has read yet.
        Err(_) => {}
    }
    let config = if args.output == Path::new("config.json") {
        String::new()
    } else {
        format!(" --config {path}")
    };
    parts.push(format!(
        "\nnext: keypool check{config}, then keypool code{config} in the place of ccr code\n"
    ));
    parts.concat()
}
