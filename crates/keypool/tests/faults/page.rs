//! The page for operators, printed from the rows.

use std::fmt::{self, Display, Formatter, Write};
use std::ops::RangeInclusive;

use crate::row::{Advice, Asked, Client, Group, Leaves, Row, Sends, Step};
use crate::support::Api;
use crate::table;

const HEAD: &str = "\
<!-- Printed by the test program `faults` from the table that it runs. Change the table, then run
KEYPOOL_WRITE_DOCS=1 cargo test -p keypool --test faults page -->

# What happens when something goes wrong

Each row is a test: the gateway runs before a simulated provider, one request is sent, and what the row says must come of it. A row without
another word has two keys or fewer, used in the order in which they are named, and a client whose request may wait for half a minute.

- **Keys meet** is what the provider does with requests of the first key; of the second; and so on. A status with a code stands for the
  provider's own error body.
- **The client gets** the *whole answer* if any key could give it. What only the client can mend, and what no key could cure, it gets in the
  provider's own words, unchanged, or in keypool's (`code` in the shape of the API that was asked). After some text of a stream
  it gets the API's error event, never an end that looks like a complete answer. *No retry* is `x-should-retry: false`,
  *retry after* the header `retry-after` in seconds.
- **The keys** are *sound* if nothing is held against them: healthy, with a score of 100. *−5* is the score that a fault costs.
- **Tries** are attempts at the provider, as the client is told in `x-keypool-attempts`.

Each row holds within 5 seconds unless it says otherwise, and in none of them does a key's secret show: not in the answer, the log, the admin
API or the metrics.
";

/// Heading and introduction of each group, in the order of the page.
const GROUPS: [(Group, &str, &str); 11] = [
    (
        Group::Refused,
        "A key is refused",
        "Another key serves the request, and the client sees nothing of it. A key that the provider refuses is taken out of \
         use with an alert, one that may not use a model is kept from that model alone.",
    ),
    (
        Group::Money,
        "The money runs out",
        "A key whose account cannot pay is out of use until the instant that the provider names, or until a request is served \
         with it: one an hour tries it, and the next one after a forced check.",
    ),
    (
        Group::Limits,
        "A limit is reached",
        "Another key serves the request. If there is none, the request waits for room; if that would take too long, the client is told \
         when there will be room.",
    ),
    (
        Group::Failing,
        "The provider fails",
        "A fault is held against a key when another key, or the same one a moment later, serves the request. An overload is \
         nobody's fault.",
    ),
    (
        Group::Network,
        "The network fails",
        "As long as no byte of an answer has gone to the client, another key is tried.",
    ),
    (
        Group::Garbage,
        "The answer is none",
        "A plain answer is held until it is whole, so that a break in its middle can be cured.",
    ),
    (
        Group::Streams,
        "A stream breaks",
        "Until the first text another key can take over. Afterwards nothing can be spliced in: the client is told, and \
         nothing is tried again.",
    ),
    (
        Group::Odd,
        "The answer is odd",
        "Right answers in an unusual form reach the client in the usual one.",
    ),
    (
        Group::Client,
        "The request is wrong",
        "No key is to blame, and no other key would do better.",
    ),
    (
        Group::Outage,
        "Every key fails",
        "The trouble is the provider's, so no key is blamed. Further rounds over the keys follow after short pauses; where nearly all \
         requests fail, a breaker keeps them away from the provider and model for some seconds.",
    ),
    (
        Group::Recovery,
        "Keys come back",
        "By themselves, or when an operator asks.",
    ),
];

/// The whole page.
pub(crate) fn page() -> String {
    let mut page = HEAD.to_owned();
    for (group, title, introduction) in GROUPS {
        write!(page, "\n## {title}\n\n{introduction}\n\n").unwrap();
        page.push_str(
            "| What goes wrong | Asked for | Keys meet | The client gets | The keys | Tries |\n",
        );
        page.push_str("|---|---|---|---|---|---|\n");
        for line in lines(table::rows().filter(|row| row.group() == group)) {
            writeln!(page, "{line}").unwrap();
        }
    }
    page
}

/// A line of the page: rows that differ only in what was asked for.
struct Line {
    trouble: String,
    asked: Vec<Asked>,
    rest: String,
}

fn lines(rows: impl Iterator<Item = Row>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let (trouble, rest) = (trouble(&row), rest(&row));
        let same = |line: &&mut Line| line.trouble == trouble && line.rest == rest;
        match lines.iter_mut().find(same) {
            Some(line) => line.asked.push(row.asked),
            None => lines.push(Line {
                trouble,
                asked: vec![row.asked],
                rest,
            }),
        }
    }
    lines
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let asked = several(&self.asked);
        write!(f, "| {} | {asked} | {} |", self.trouble, self.rest)
    }
}

/// What was asked for, each API once.
fn several(asked: &[Asked]) -> String {
    let mut words: Vec<String> = Vec::new();
    for one in asked {
        let plain = Asked {
            is_streamed: false,
            ..*one
        };
        let streamed = Asked {
            is_streamed: true,
            ..*one
        };
        if !asked.contains(&plain) || !asked.contains(&streamed) {
            words.push(one.to_string());
        } else if !one.is_streamed {
            words.push(format!("{plain}, plain and streamed"));
        }
    }
    words.join("; ")
}

/// The columns after the first two.
fn rest(row: &Row) -> String {
    let meets: Vec<&str> = row.keys.iter().map(|meets| meets.words.as_str()).collect();
    let leaves: Vec<String> = row.leaves.iter().map(Leaves::to_string).collect();
    let mut gets = row.client.to_string();
    gets.push_str(&row.advice.to_string());
    if row.within.as_secs() != 5 {
        write!(gets, ", within {} s", row.within.as_secs()).unwrap();
    }
    format!(
        "{} | {gets} | {} | {}",
        meets.join("; "),
        leaves.join("; "),
        span(&row.attempts),
    )
}

/// What goes wrong, with all that is special.
fn trouble(row: &Row) -> String {
    let settings = row.settings.iter().map(|setting| setting.words.clone());
    let mut words: Vec<String> = settings.filter(|words| !words.is_empty()).collect();
    words.extend(row.before.iter().map(Step::to_string));
    match &row.sends {
        Sends::Usual | Sends::Body(_) => {}
        Sends::With(member, value) => match value.as_str() {
            Some(text) if text.len() < 40 => words.push(format!("`{member}: {text}`")),
            _ => {}
        },
        Sends::Header(name, value) => words.push(format!("`{name}: {value}`")),
    }
    if words.is_empty() {
        row.trouble().to_owned()
    } else {
        format!("{} ({})", row.trouble(), words.join(", "))
    }
}

impl Display for Asked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let api = match self.api {
            Api::Messages => "Messages",
            Api::Chat => "Chat",
            Api::Responses => "Responses",
            Api::Embeddings => "Embeddings",
            Api::Gemini => "generateContent",
        };
        write!(f, "{} {api}", self.vendor.title)?;
        if self.is_streamed {
            f.write_str(", streamed")?;
        }
        Ok(())
    }
}

impl Display for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the whole answer"),
            Self::Unmarked => f.write_str("the whole answer, without its end marker"),
            Self::Partial(code) => write!(f, "the text so far, then the error event `{code}`"),
            Self::Theirs(status, word) => write!(f, "the provider's {status} `{word}`"),
            Self::Ours(status, code) => write!(f, "{status} `{code}`"),
        }
    }
}

impl Display for Advice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(after) = &self.after {
            write!(f, ", retry after {} s", span(after))?;
        }
        if self.never {
            f.write_str(", no retry")?;
        }
        Ok(())
    }
}

impl Display for Leaves {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sound => f.write_str("sound"),
            Self::Scored(95) => f.write_str("−5"),
            Self::Scored(score) => write!(f, "healthy, score {score}"),
            Self::Degraded(score) => write!(f, "degraded, score {}", span(score)),
            Self::Limited(wait) => write!(f, "set aside for {} s", wait.end()),
            Self::Out(code) => write!(f, "out of use, `{code}`"),
            Self::OutWithGroup => f.write_str("out of use, as it shares the account"),
            Self::Barred => f.write_str("kept from this model"),
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(1) => f.write_str("after a request"),
            Self::Ask(times) => write!(f, "after {times} requests"),
            Self::AskAtOnce(times) => write!(f, "after {times} requests at once"),
            Self::Heal => f.write_str("the trouble ends"),
            Self::Post(path, _) => write!(f, "`POST {path}`"),
            Self::Becomes(number, state) => write!(f, "key {number} is {state}"),
            Self::Breaker(state) => write!(f, "the breaker is {}", state.replace('_', "-")),
        }
    }
}

fn span<T: Display + PartialEq>(range: &RangeInclusive<T>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}–{}", range.start(), range.end())
    }
}
