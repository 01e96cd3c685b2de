use super::super::plan::{Phase, Plan};
use super::super::scene::Upstream;
use super::*;

const STREAM_EVERY: usize = 3;

/// A visit that ended well, at this moment.
fn answered_at(left: Duration) -> Visit {
    let answered = Answered {
        head_after: ANSWER_TIME,
        queued: Duration::ZERO,
        took: ANSWER_TIME,
        attempts: 1,
        is_stream: false,
    };
    Visit {
        left,
        told_to_wait: 0,
        end: End::Answered(answered),
    }
}

/// A phase in which just what can be attained was answered.
fn perfect(phase: &Phase) -> PhaseResult {
    let gap = Duration::from_mins(1) / phase.attainable_per_minute();
    let left = (0..).map(|number| gap * number);
    let mut visits: Vec<_> = left
        .take_while(|left| *left < phase.length())
        .map(answered_at)
        .collect();
    for (number, visit) in visits.iter_mut().enumerate() {
        let End::Answered(answered) = &mut visit.end else {
            unreachable!()
        };
        answered.is_stream = number % STREAM_EVERY == 0;
        if !phase.troubles.is_empty() && number % 10 == 0 {
            answered.attempts = 2;
            answered.head_after = ANSWER_TIME * 2 + Duration::from_millis(3);
        }
    }
    let upstream = Upstream {
        over_limit: 0,
        by_status: BTreeMap::new(),
    };
    PhaseResult {
        phase: phase.clone(),
        visits,
        failed_before: Vec::new(),
        upstream,
    }
}

fn perfect_run() -> Vec<PhaseResult> {
    Plan::standard(1).phases.iter().map(perfect).collect()
}

fn judge(change: impl FnOnce(&mut [PhaseResult])) -> Report {
    let mut results = perfect_run();
    change(&mut results);
    Report::new(&results, Duration::from_secs(20))
}

/// Asserts that the promise is broken for this reason alone.
#[track_caller]
fn assert_broken(report: &Report, reason: &str) {
    assert!(!report.held);
    assert_eq!(report.broken.len(), 1, "{:?}", report.broken);
    assert!(report.broken[0].contains(reason), "{:?}", report.broken);
}

#[test]
fn a_perfect_run_keeps_the_promise_and_says_so_in_a_table() {
    let report = judge(|_| {});
    assert!(report.held, "{:?}", report.broken);
    let text = report.render();
    for part in [
        "1 key",
        "3 keys",
        "5 keys, 3 in trouble",
        "4500/min",
        "100.0 %",
        "promise held",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn one_failure_that_a_client_saw_breaks_the_promise() {
    let report = judge(|results| {
        results[2].visits[0].end = End::Failed("status 401: {}".to_owned());
    });
    assert_broken(
        &report,
        "5 keys: clients that saw a failure: 1, such as status 401",
    );
}

#[test]
fn a_failure_while_the_burst_is_used_up_counts_as_well() {
    let report = judge(|results| results[1].failed_before.push("no answer".to_owned()));
    assert_broken(&report, "3 keys: clients that saw a failure: 1");
}

#[test]
fn clients_that_were_told_to_wait_and_left_break_nothing() {
    let report = judge(|results| {
        let unserved = Visit {
            told_to_wait: 3,
            end: End::Unserved,
            ..answered_at(LEAD_IN)
        };
        results[0].visits.extend(std::iter::repeat_n(unserved, 100));
    });
    assert!(report.held, "{:?}", report.broken);
    assert_eq!(report.rows[0].told_to_wait, 300);
}

#[test]
fn keys_left_unused_break_the_promise() {
    let report = judge(|results| {
        let visits = &mut results[2].visits;
        let kept = visits
            .iter()
            .enumerate()
            .filter(|(number, _)| number % 5 != 0);
        *visits = kept.map(|(_, visit)| visit.clone()).collect();
    });
    assert_broken(&report, "5 keys: 80.0 % of what the limits");
}

#[test]
fn a_limit_that_was_met_upstream_breaks_the_promise_and_a_429_on_purpose_does_not() {
    let report = judge(|results| {
        results[3].upstream.by_status.insert(429, 2);
    });
    assert!(report.held, "{:?}", report.broken);
    assert_eq!(report.rows[3].upstream_429s_on_purpose, 2);
    let report = judge(|results| {
        results[1].upstream.by_status.insert(429, 1);
        results[1].upstream.over_limit = 1;
    });
    assert_broken(
        &report,
        "3 keys: requests that met a limit which keypool knew: 1",
    );
}

// acceptance 66
#[test]
fn failing_over_slowly_or_not_at_all_breaks_the_promise() {
    let set_attempts = |results: &mut [PhaseResult], attempts, head_after| {
        for visit in &mut results[3].visits {
            if let End::Answered(answered) = &mut visit.end {
                answered.attempts = attempts;
                answered.head_after = head_after;
            }
        }
    };
    let slow = ANSWER_TIME * 2 + FAILOVER_CEILING + Duration::from_millis(1);
    let report = judge(|results| set_attempts(results, 2, slow));
    assert_broken(&report, "failing over took longer than 1000 ms");
    let report = judge(|results| set_attempts(results, 1, ANSWER_TIME));
    assert_broken(&report, "no request was answered by another key");
}

#[test]
fn a_failover_is_charged_for_what_was_added_to_the_answers_of_the_keys() {
    let answered = Answered {
        head_after: ANSWER_TIME * 3 + Duration::from_millis(4),
        queued: Duration::ZERO,
        took: Duration::from_secs(1),
        attempts: 3,
        is_stream: true,
    };
    assert_eq!(failover_time(&answered), Duration::from_millis(4));
}

#[test]
fn too_long_a_run_breaks_the_promise() {
    let report = Report::new(&perfect_run(), TIME_LIMIT + Duration::from_millis(100));
    assert_broken(&report, "it took 30.1 s, more than 30 s");
}

#[test]
fn a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() {
    let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
    assert_eq!(percentile(&times, 50), Some(Duration::from_millis(100)));
    assert_eq!(percentile(&times, 99), Some(Duration::from_millis(198)));
    assert_eq!(percentile(&times[..1], 99), Some(Duration::from_millis(1)));
    assert_eq!(percentile(&[], 99), None);
}
