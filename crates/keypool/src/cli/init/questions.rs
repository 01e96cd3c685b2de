//! Questions on standard error, answers on standard input.

use std::io::{BufRead, Read};

use super::super::{Failure, output};

/// Most bytes of one answer.
const ANSWER_BYTES: u64 = 4096;

/// Asks one question after the other.
pub(super) struct Questions<R> {
    input: R,
}

impl<R: BufRead> Questions<R> {
    /// Answers come from `input`.
    pub(super) fn new(input: R) -> Self {
        Self { input }
    }

    /// Asks; an empty answer is the proposal.
    pub(super) fn ask(&mut self, question: &str, proposal: &str) -> Result<String, Failure> {
        let shown = if proposal.is_empty() {
            "none"
        } else {
            proposal
        };
        output::ask(&format!("{question} [{shown}]: "));
        let mut line = String::new();
        let read = (&mut self.input).take(ANSWER_BYTES).read_line(&mut line);
        match read {
            Ok(0) => Err(Failure::Usage(
                "the answers ended before the questions; --yes takes the proposals".to_owned(),
            )),
            // What was typed is not repeated: it may be a key in the wrong place.
            Err(_) => Err(Failure::Usage("the answer cannot be read".to_owned())),
            Ok(_) => match line.trim() {
                "" => Ok(proposal.to_owned()),
                answer => Ok(answer.to_owned()),
            },
        }
    }

    /// Asks until the answer can be used. `read` says what it means, or why it cannot be used.
    pub(super) fn ask_until<T>(
        &mut self,
        question: &str,
        proposal: &str,
        mut read: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        loop {
            match read(&self.ask(question, proposal)?) {
                Ok(answer) => return Ok(answer),
                Err(reason) => output::complain(&format!("  {reason}")),
            }
        }
    }

    /// Asks for yes or no; an empty answer is yes.
    pub(super) fn yes(&mut self, question: &str) -> Result<bool, Failure> {
        self.ask_until(question, "yes", |answer| {
            match answer.to_lowercase().as_str() {
                "y" | "yes" => Ok(true),
                "n" | "no" => Ok(false),
                _ => Err("yes or no?".to_owned()),
            }
        })
    }
}
