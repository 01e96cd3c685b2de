//! Printing. A reader that goes away early (`keypool status | head`) is no error.

use std::io::{IsTerminal, Write};

/// Prints to standard output.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line to standard output.
pub(crate) fn say(line: &str) {
    print(&format!("{line}\n"));
}

/// Prints a line to standard error.
pub(super) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Asks on standard error: the cursor stays behind the question.
pub(super) fn ask(question: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err
        .write_all(question.as_bytes())
        .and_then(|()| err.flush());
}

/// Whether standard output takes colours.
pub(crate) fn takes_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::stdout().is_terminal()
}

/// The colour of a key's state: green, yellow, orange, red.
pub(crate) fn coloured_state(state: &str, colours: bool) -> String {
    let code = match state {
        "healthy" => "32",
        "degraded" => "33",
        "rate-limited" => "38;5;208",
        "unavailable" => "31",
        _ => return state.to_owned(),
    };
    if colours {
        format!("\x1b[{code}m{state}\x1b[0m")
    } else {
        state.to_owned()
    }
}

/// Columns as wide as their widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as lines.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<_> = (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| shown_width(cell))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width + 2 - shown_width(cell)));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Characters that take room: all but the escape sequences of colours.
fn shown_width(cell: &str) -> usize {
    let mut in_escape = false;
    let takes_room = |c: char| match (in_escape, c) {
        (false, '\x1b') => {
            in_escape = true;
            false
        }
        (true, 'm') => {
            in_escape = false;
            false
        }
        (in_escape, _) => !in_escape,
    };
    cell.chars().map(takes_room).filter(|takes| *takes).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_colours() {
        // acceptance 48
        let mut table = Table::new(&["KEY", "STATE", "SCORE"]);
        table.row(vec![
            "a".to_owned(),
            coloured_state("healthy", true),
            "100".to_owned(),
        ]);
        table.row(vec![
            "b".to_owned(),
            coloured_state("rate-limited", true),
            "95".to_owned(),
        ]);
        let expected = "KEY  STATE         SCORE\n\
                        a    \x1b[32mhealthy\x1b[0m       100\n\
                        b    \x1b[38;5;208mrate-limited\x1b[0m  95\n";
        assert_eq!(table.render(), expected);
    }
}
