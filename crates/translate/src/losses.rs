//! What a translation could not carry, and how that is said.

use std::borrow::Cow;
use std::fmt;

use crate::api::Api;
use crate::limits::{FIELD_NAME_CHARS_MAX, LOSSES_MAX};
use crate::rules::Field;

/// What happened to a field that was not carried as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Left out.
    Dropped,
    /// Written as nearly as possible.
    Changed,
    /// Left out, since nobody here knows what it means.
    Unknown,
}

impl Fate {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Changed => "changed",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was not carried as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The field: its name in the table of rules, or as the client wrote it if it is unknown.
    pub field: Cow<'static, str>,
    /// What happened to it.
    pub fate: Fate,
    /// Why.
    pub why: &'static str,
}

impl Loss {
    pub(crate) fn of(field: Field, fate: Fate) -> Self {
        Self {
            field: Cow::Borrowed(field.name()),
            fate,
            why: field.why(),
        }
    }

    /// A member that is not known, by its place and name. The name is the client's: it is cut, and
    /// stripped of what could not stand in a header.
    fn unknown(place: &str, name: &str) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let name: String = name
            .chars()
            .take(FIELD_NAME_CHARS_MAX)
            .map(|c| if is_plain(c) { c } else { '?' })
            .collect();
        Self {
            field: Cow::Owned(format!("{place}{name}")),
            fate: Fate::Unknown,
            why: "the member is not known",
        }
    }
}

/// All that was not carried, each thing once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    list: Vec<Loss>,
    is_cut: bool,
}

impl Losses {
    /// The losses, in the order in which they were met.
    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.list.iter()
    }

    /// Whether everything was carried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there were more than are listed.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(crate) fn add(&mut self, loss: Loss) {
        if self.list.contains(&loss) {
            return;
        }
        if self.list.len() < LOSSES_MAX {
            self.list.push(loss);
        } else {
            self.is_cut = true;
        }
    }

    pub(crate) fn dropped(&mut self, field: Field) {
        self.add(Loss::of(field, Fate::Dropped));
    }

    pub(crate) fn changed(&mut self, field: Field) {
        self.add(Loss::of(field, Fate::Changed));
    }

    /// Notes members that are not known. `place` says where: `tools[].`, say.
    pub(crate) fn unknown<S: AsRef<str>>(&mut self, place: &str, names: &[S]) {
        for name in names.iter().take(LOSSES_MAX) {
            self.add(Loss::unknown(place, name.as_ref()));
        }
        self.is_cut |= names.len() > LOSSES_MAX;
    }
}

/// One line, fit for a header: `top_k: dropped; system: changed`.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, loss) in self.list.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", loss.field, loss.fate.name())?;
        }
        if self.is_cut {
            f.write_str("; and more")?;
        }
        Ok(())
    }
}

/// A request that cannot be translated. It is the client's to change: status 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A field has no counterpart, and an answer without it would not be what was asked for.
    Field {
        /// Which one.
        field: Field,
        /// The name of the API that does not know it.
        target: &'static str,
        /// What was met, where the field alone does not tell.
        found: Option<String>,
    },
    /// The body is not a request in the API's shape.
    Shape {
        /// The name of the API whose shape was expected.
        api: &'static str,
        /// What is wrong, and where.
        message: String,
    },
}

impl Refusal {
    pub(crate) fn shape(api: Api, message: impl fmt::Display) -> Self {
        Self::Shape {
            api: api.name(),
            message: message.to_string(),
        }
    }

    /// A stable name of the case.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Field { .. } => "not_translatable",
            Self::Shape { .. } => "invalid_request",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field {
                field,
                target,
                found,
            } => {
                let found = found.as_deref().unwrap_or(field.name());
                let why = field.why();
                write!(f, "`{found}` cannot be translated to {target}: {why}")
            }
            Self::Shape { api, message } => {
                write!(f, "this is not a request of {api}: {message}")
            }
        }
    }
}

impl std::error::Error for Refusal {}
