//! The table: what was measured, beside what the design allows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::stats::{Spread, ratio_by_round};
use crate::target::Kind;

/// One number per round and target.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Rounds(BTreeMap<Kind, Vec<f64>>);

impl Rounds {
    /// Adds the next round of a target.
    pub(crate) fn push(&mut self, kind: Kind, value: f64) {
        self.0.entry(kind).or_default().push(value);
    }

    /// The rounds of a target, in order.
    pub(crate) fn of(&self, kind: Kind) -> &[f64] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// The median round of a target; `None` if it was not measured.
    pub(crate) fn median(&self, kind: Kind) -> Option<f64> {
        Spread::of(self.of(kind)).map(|spread| spread.median)
    }

    /// Each round of the proxies less the same round of the upstream itself: what they added.
    pub(crate) fn added(&self) -> Self {
        let direct = self.of(Kind::Direct);
        let proxies = self.0.iter().filter(|(kind, _)| **kind != Kind::Direct);
        Self(
            proxies
                .map(|(kind, rounds)| {
                    (
                        *kind,
                        rounds
                            .iter()
                            .zip(direct)
                            .map(|(own, base)| own - base)
                            .collect(),
                    )
                })
                .collect(),
        )
    }
}

/// What the design allows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Budget {
    /// keypool ÷ nginx must not be below this.
    RatioAtLeast(f64),
    /// keypool ÷ nginx must not be above this.
    RatioAtMost(f64),
    /// keypool's own number must not be above this.
    AtMost(f64),
    /// keypool's own number must not be below this.
    AtLeast(f64),
}

/// Whether a budget is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It is kept.
    Pass,
    /// It is not.
    Miss,
    /// It was measured, but under conditions that allow no verdict.
    Unclear,
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Every round.
    pub(crate) rounds: Rounds,
    /// keypool ÷ nginx, round by round.
    pub(crate) ratio: Option<Spread>,
    /// What the design allows, if it says anything.
    pub(crate) budget: Option<Budget>,
    /// Whether that is kept; `None` without a budget or when it was not measured.
    pub(crate) verdict: Option<Verdict>,
}

impl Row {
    /// Compares the rounds of keypool with those of nginx and with the budget.
    pub(crate) fn new(
        name: impl Into<String>,
        unit: &'static str,
        rounds: Rounds,
        budget: Option<Budget>,
    ) -> Self {
        let ratio = ratio_by_round(rounds.of(Kind::Keypool), rounds.of(Kind::Nginx));
        let ratio_median = ratio.map(|spread| spread.median);
        let own_median = rounds.median(Kind::Keypool);
        let kept = budget.and_then(|budget| match budget {
            Budget::RatioAtLeast(bound) => ratio_median.map(|ratio| ratio >= bound),
            Budget::RatioAtMost(bound) => ratio_median.map(|ratio| ratio <= bound),
            Budget::AtMost(bound) => own_median.map(|own| own <= bound),
            Budget::AtLeast(bound) => own_median.map(|own| own >= bound),
        });
        let compared = own_median.is_some() && rounds.median(Kind::Nginx).is_some();
        let verdict = match kept {
            Some(true) => Some(Verdict::Pass),
            Some(false) => Some(Verdict::Miss),
            None => (budget.is_some() && compared).then_some(Verdict::Unclear),
        };
        Self {
            name: name.into(),
            unit,
            rounds,
            ratio,
            budget,
            verdict,
        }
    }

    /// Withdraws the verdict, if there is one: something else than the proxies set the number.
    pub(crate) fn cast_doubt(&mut self) {
        self.verdict = self.verdict.map(|_| Verdict::Unclear);
    }

    fn cells(&self) -> [String; 8] {
        let value = |kind| {
            self.rounds
                .median(kind)
                .map_or_else(|| "-".to_owned(), shown)
        };
        [
            self.name.clone(),
            self.unit.to_owned(),
            value(Kind::Direct),
            value(Kind::Nginx),
            value(Kind::Keypool),
            self.ratio.map_or_else(
                || "-".to_owned(),
                |Spread { median, min, max }| format!("{median:.2} ({min:.2}–{max:.2})"),
            ),
            self.budget.map_or_else(String::new, |budget| match budget {
                Budget::RatioAtLeast(bound) => format!("≥ {bound}×"),
                Budget::RatioAtMost(bound) => format!("≤ {bound}×"),
                Budget::AtMost(bound) => format!("≤ {bound} {}", self.unit),
                Budget::AtLeast(bound) => format!("≥ {bound} {}", self.unit),
            }),
            match self.verdict {
                Some(Verdict::Pass) => "pass".to_owned(),
                Some(Verdict::Miss) => "MISS".to_owned(),
                Some(Verdict::Unclear) => "unclear".to_owned(),
                None => String::new(),
            },
        ]
    }
}

/// Three significant digits are more than a shared machine can repeat.
fn shown(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// One part of the run: its lines, and what a reader must know of them.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    /// Heading.
    pub(crate) title: String,
    /// The lines.
    pub(crate) rows: Vec<Row>,
    /// Remarks that change how the lines are to be read.
    pub(crate) remarks: Vec<String>,
    /// Requests that failed: above zero, the lines mean little.
    pub(crate) failures: u64,
}

const HEADER: [&str; 8] = [
    "",
    "unit",
    "direct",
    "nginx",
    "keypool",
    "keypool ÷ nginx",
    "budget",
    "result",
];

/// All sections as one table of text, columns aligned.
pub(crate) fn table(sections: &[Section]) -> String {
    let header = HEADER.map(str::to_owned);
    let rows: Vec<_> = sections
        .iter()
        .flat_map(|section| &section.rows)
        .map(Row::cells)
        .collect();
    let mut widths = [0_usize; 8];
    for row in rows.iter().chain([&header]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&header, &widths);
    let mut rows = rows.iter();
    for section in sections {
        let _infallible = writeln!(text, "\n{}", section.title);
        for row in rows.by_ref().take(section.rows.len()) {
            text.push_str(&line(row, &widths));
        }
        for remark in &section.remarks {
            let _infallible = writeln!(text, "  ! {remark}");
        }
    }
    text
}

fn line(cells: &[String; 8], widths: &[usize; 8]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.chars().count());
        let numeric = (2..=5).contains(&column);
        let (before, after) = if numeric {
            (padding.as_str(), "")
        } else {
            ("", padding.as_str())
        };
        let _infallible = write!(text, "  {before}{cell}{after}");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(direct: &[f64], nginx: &[f64], keypool: &[f64]) -> Rounds {
        let by_kind = [
            (Kind::Direct, direct),
            (Kind::Nginx, nginx),
            (Kind::Keypool, keypool),
        ];
        let measured = by_kind.into_iter().filter(|(_, values)| !values.is_empty());
        Rounds(
            measured
                .map(|(kind, values)| (kind, values.to_vec()))
                .collect(),
        )
    }

    #[test]
    fn a_budget_is_judged_by_the_median_of_the_ratios_or_by_keypools_own_median() {
        for (budget, expected) in [
            (Budget::RatioAtLeast(0.9), Verdict::Pass),
            (Budget::RatioAtLeast(0.91), Verdict::Miss),
            (Budget::RatioAtMost(0.9), Verdict::Pass),
            (Budget::RatioAtMost(0.89), Verdict::Miss),
            (Budget::AtMost(90.0), Verdict::Pass),
            (Budget::AtMost(89.0), Verdict::Miss),
        ] {
            let measured = rounds(&[], &[100.0, 100.0, 100.0], &[90.0, 10.0, 200.0]);
            assert_eq!(
                Row::new("", "", measured, Some(budget)).verdict,
                Some(expected),
                "{budget:?}"
            );
        }
    }

    #[test]
    fn what_was_not_measured_is_neither_kept_nor_missed() {
        let row = Row::new(
            "",
            "",
            rounds(&[], &[1.0], &[]),
            Some(Budget::RatioAtLeast(0.9)),
        );
        assert_eq!((row.ratio, row.verdict), (None, None));
    }

    #[test]
    fn a_difference_below_the_noise_is_unclear_and_no_pass() {
        let added = rounds(&[], &[-3.0, 2.0], &[1.0, -4.0]);
        let row = Row::new("", "", added, Some(Budget::RatioAtMost(1.5)));
        assert_eq!((row.ratio, row.verdict), (None, Some(Verdict::Unclear)));
    }

    #[test]
    fn doubt_withdraws_a_verdict_and_makes_none() {
        let budget = Some(Budget::AtMost(1.0));
        let mut judged = Row::new("", "", rounds(&[], &[], &[0.5]), budget);
        judged.cast_doubt();
        assert_eq!(judged.verdict, Some(Verdict::Unclear));
        let mut free = Row::new("", "", rounds(&[], &[], &[0.5]), None);
        free.cast_doubt();
        assert_eq!(free.verdict, None);
    }

    #[test]
    fn added_latency_is_taken_round_by_round_from_the_upstreams_own() {
        let added = rounds(&[40.0, 60.0], &[90.0, 100.0], &[95.0, 115.0]).added();
        assert_eq!(added, rounds(&[], &[50.0, 40.0], &[55.0, 55.0]));
    }

    #[test]
    fn the_table_aligns_columns_whatever_is_in_them() {
        let row = Row::new(
            "requests",
            "1/s",
            rounds(&[9.0], &[2.0], &[3.0]),
            Some(Budget::RatioAtLeast(1.0)),
        );
        let section = Section {
            title: "Speed".into(),
            rows: vec![row],
            remarks: vec!["noisy".into()],
            failures: 0,
        };
        let text = table(&[section]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "            unit  direct  nginx  keypool   keypool ÷ nginx  budget  result"
        );
        assert_eq!(lines[2], "Speed");
        assert_eq!(
            lines[3],
            "  requests  1/s     9.00   2.00     3.00  1.50 (1.50–1.50)  ≥ 1×    pass"
        );
        assert_eq!(lines[4], "  ! noisy");
    }
}
