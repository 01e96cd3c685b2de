//! What the importer has to say. Fields are named, values are not: they may be secrets.

/// Collects it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    lost: Vec<(String, String)>,
    changed: Vec<(String, String)>,
}

impl Notes {
    /// A field that is not taken over, and why.
    pub(super) fn lost(&mut self, field: impl Into<String>, why: impl Into<String>) {
        self.lost.push((field.into(), why.into()));
    }

    /// A field that is taken over in another form, and which.
    pub(super) fn changed(&mut self, field: impl Into<String>, how: impl Into<String>) {
        self.changed.push((field.into(), how.into()));
    }

    /// What is not taken over, as text; nothing if there is nothing.
    pub(super) fn of_what_is_lost(&self) -> String {
        listed("Not taken over:", &self.lost)
    }

    /// What is taken over in another form, as text; nothing if there is nothing.
    pub(super) fn of_what_is_changed(&self) -> String {
        listed("Taken over in another form:", &self.changed)
    }
}

fn listed(title: &str, notes: &[(String, String)]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let lines = notes
        .iter()
        .map(|(field, what)| format!("  {field}: {what}\n"));
    let text = format!("\n{title}\n{}", lines.collect::<String>());
    // Names come from a file: nothing in them shall steer the terminal.
    let shown = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}
