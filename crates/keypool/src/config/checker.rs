//! What all the checks that a schema cannot express have in common: collecting what they find.

use std::path::{Path, PathBuf};

use keypool_gateway::Secret;

use super::document::Node;
use super::file::SecretText;
use super::path::FieldPath;
use super::problem::Problem;
use super::references::{Environment, Reference};

/// Collects errors and warnings, and resolves references on the way.
pub(super) struct Checker<'a> {
    /// The file as written.
    pub(super) root: &'a Node,
    directory: &'a Path,
    environment: Environment<'a>,
    /// Fields that did not fit the schema, and are therefore missing from what is checked.
    cuts: Vec<FieldPath>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    files: Vec<PathBuf>,
}

/// What a [`Checker`] has collected.
pub(super) struct Findings {
    /// Errors, those of the schema included, in the order of the file.
    pub(super) problems: Vec<Problem>,
    /// Warnings, in the order of the file.
    pub(super) warnings: Vec<Problem>,
    /// Files that were read for what stands in them.
    pub(super) files: Vec<PathBuf>,
}

impl<'a> Checker<'a> {
    /// Begins with what the schema found. Relative paths are resolved in `directory`.
    pub(super) fn new(
        root: &'a Node,
        directory: &'a Path,
        environment: Environment<'a>,
        problems: Vec<Problem>,
    ) -> Self {
        let cuts = problems
            .iter()
            .map(|problem| problem.field.clone())
            .collect();
        Self {
            root,
            directory,
            environment,
            cuts,
            problems,
            warnings: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Ends the checks.
    pub(super) fn finish(mut self) -> Findings {
        self.problems.sort();
        self.warnings.sort();
        Findings {
            problems: self.problems,
            warnings: self.warnings,
            files: self.files,
        }
    }

    /// Reports an error, unless it merely follows from one that the schema found.
    pub(super) fn error(&mut self, field: &FieldPath, message: impl Into<String>) {
        if !self.cuts.iter().any(|cut| cut.overlaps(field)) {
            let at = self.root.locate(field);
            self.problems
                .push(Problem::new(at, field.clone(), message.into()));
        }
    }

    /// Reports what is allowed and yet worth a word.
    pub(super) fn warn(&mut self, field: &FieldPath, message: impl Into<String>) {
        let at = self.root.locate(field);
        self.warnings
            .push(Problem::new(at, field.clone(), message.into()));
    }

    /// A path as the file's reader means it: relative to the file.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }

    /// Marks a file as one whose change is a change of the configuration.
    pub(super) fn depends_on(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    /// The text that a reference leads to.
    pub(super) fn text(&mut self, text: &str, field: &FieldPath) -> Option<String> {
        let resolved = Reference::parse(text).and_then(|reference| {
            reference.resolve(self.environment, self.directory, &mut self.files)
        });
        resolved.map_err(|message| self.error(field, message)).ok()
    }

    /// The secret that a reference leads to, fit to be sent in a header.
    pub(super) fn secret(&mut self, text: &SecretText, field: &FieldPath) -> Option<Secret> {
        let secret = self.text(&text.0, field)?;
        if secret.chars().all(|c| matches!(c, '.' | '…')) {
            self.error(
                field,
                "is still a placeholder: write the key, $VAR or file:/path",
            );
            return None;
        }
        if !secret.chars().all(|c| c.is_ascii_graphic()) {
            let message = "has a space, line break or other character that no key can have";
            self.error(field, format!("{} {message}", masked_reference(&text.0)));
            return None;
        }
        Some(Secret::new(secret))
    }
}

/// A reference is no secret and is shown as it is; a literal is masked.
fn masked_reference(text: &str) -> String {
    match Reference::parse(text) {
        Ok(Reference::Variable(_) | Reference::File(_)) => text.to_owned(),
        Ok(Reference::Literal(_)) | Err(_) => Secret::new(text).mask(),
    }
}
