//! Habits in which providers differ, through the public interface and in virtual time.

use std::time::Duration;

use keypool_sim::model::{Ending, Header, Model, ProviderError, Request, Ticket, Verdict};
use keypool_sim::{
    Algorithm, DayReset, Dialect, Endpoint, HeaderStyle, Limits, ModelClass, Organisation, Ramp,
    SimConfig, SimTime,
};

const KEY: &str = "sk-habit-1";
const OTHER: &str = "sk-habit-2";

/// 2027-01-15T08:00:00Z, midnight in California.
const START: SimTime = SimTime::from_unix_micros(1_800_000_000_000_000);

fn at(seconds: u64) -> SimTime {
    START + Duration::from_secs(seconds)
}

fn endpoint(dialect: Dialect) -> Endpoint {
    match dialect {
        Dialect::Anthropic => Endpoint::Messages,
        Dialect::OpenAi => Endpoint::ChatCompletions,
        Dialect::Gemini => Endpoint::GenerateContent,
    }
}

/// A model of one organisation of each secret, changed as a test wants it.
#[cfg(test)]
fn model_of(dialect: Dialect, limits: Limits, change: impl Fn(&mut Organisation)) -> Model {
    let mut config = SimConfig::empty().with_keys(dialect, &[KEY, OTHER], limits);
    config.organisations.iter_mut().for_each(change);
    Model::new(START, &config).unwrap()
}

fn small() -> Request {
    Request::plain("some-model", 10, Some(10))
}

/// What an exchange that ended at once has shown.
struct Seen {
    status: u16,
    error: Option<ProviderError>,
    headers: Vec<Header>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    fn code(&self) -> Option<&str> {
        self.error.as_ref()?.code.as_deref()
    }

    fn wait(&self) -> Option<Duration> {
        self.error.as_ref()?.wait()
    }
}

#[cfg(test)]
fn send_to(
    model: &mut Model,
    now: SimTime,
    endpoint: Endpoint,
    secret: &str,
    request: &Request,
) -> Seen {
    let verdict = model.ask(now, endpoint, secret, request);
    let status = verdict.reply.status().unwrap();
    let error = verdict.refusal().cloned();
    let output = verdict.grant().map_or(0, |grant| grant.usage.output);
    let headers = model.headers_of(now, &verdict);
    let mut ticket = verdict.ticket.unwrap();
    model.produce(now, &mut ticket, output);
    model.finish(now, ticket, Ending::Complete);
    Seen {
        status,
        error,
        headers,
    }
}

#[cfg(test)]
fn send(model: &mut Model, now: SimTime, dialect: Dialect) -> Seen {
    send_to(model, now, endpoint(dialect), KEY, &small())
}

/// Requests that pass at one instant, of at most 1000.
#[cfg(test)]
fn flood(model: &mut Model, now: SimTime, dialect: Dialect) -> usize {
    let passes = |_: &usize| send(model, now, dialect).status == 200;
    (0..1000).take_while(passes).count()
}

#[test]
fn an_organisation_without_quota_headers_still_names_the_wait() {
    let limits = Limits::per_minute(1);
    let mut model = model_of(Dialect::OpenAi, limits, |organisation| {
        organisation.headers = HeaderStyle::None;
    });
    let granted = send(&mut model, START, Dialect::OpenAi);
    let refused = send(&mut model, START, Dialect::OpenAi);
    assert_eq!((granted.status, refused.status), (200, 429));
    for seen in [&granted, &refused] {
        let mut names = seen.headers.iter().map(|(name, _)| *name);
        assert!(
            names.all(|name| !name.contains("limit")),
            "{:?}",
            seen.headers
        );
        assert_eq!(seen.header("openai-organization"), Some("org-1"));
    }
    assert_eq!(refused.header("retry-after"), Some("60"));
}

#[test]
fn azure_resets_in_whole_seconds_and_names_waits_in_milliseconds() {
    let limits = Limits::per_minute(7);
    let mut model = model_of(Dialect::OpenAi, limits, |organisation| {
        organisation.headers = HeaderStyle::Azure;
    });
    let granted = send(&mut model, START, Dialect::OpenAi);
    assert_eq!(granted.header("x-ratelimit-reset-requests"), Some("9"));
    assert_eq!(granted.header("retry-after-ms"), None);
    flood(&mut model, START, Dialect::OpenAi);
    let refused = send(&mut model, START, Dialect::OpenAi);
    assert_eq!(refused.header("retry-after-ms"), Some("8572"));
    assert_eq!(refused.header("retry-after"), Some("9"));
}

#[test]
fn groq_shows_requests_of_the_day_and_refuses_by_those_of_the_minute() {
    let limits = Limits {
        requests_per_minute: Some(2),
        requests_per_day: Some(14_400),
        tokens_per_minute: Some(6000),
        ..Limits::NONE
    };
    let mut model = model_of(Dialect::OpenAi, limits, |organisation| {
        organisation.headers = HeaderStyle::Groq;
    });
    let granted = send(&mut model, START, Dialect::OpenAi);
    let shown = |name| granted.header(name);
    assert_eq!(shown("x-ratelimit-limit-requests"), Some("14400"));
    assert_eq!(shown("x-ratelimit-remaining-requests"), Some("14399"));
    assert_eq!(shown("x-ratelimit-reset-requests"), Some("6s"));
    assert_eq!(shown("x-ratelimit-remaining-tokens"), Some("5990"));
    assert_eq!(shown("retry-after"), None);
    send(&mut model, START, Dialect::OpenAi);
    let refused = send(&mut model, START, Dialect::OpenAi);
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(refused.header("retry-after-ms"), None);
}

#[test]
fn together_shows_one_second() {
    let limits = Limits::per_minute(600);
    let mut model = model_of(Dialect::OpenAi, limits, |organisation| {
        organisation.headers = HeaderStyle::Together;
    });
    let granted = send(&mut model, START, Dialect::OpenAi);
    assert_eq!(granted.header("x-ratelimit-limit"), Some("10"));
    assert_eq!(granted.header("x-ratelimit-remaining"), Some("10"));
    assert_eq!(granted.header("x-ratelimit-limit-requests"), None);
}

#[test]
fn odd_headers_come_now_and_then_by_the_seed_and_change_no_verdict() {
    let answers = |odd: bool| {
        let limits = Limits::per_minute(50);
        let mut model = model_of(Dialect::OpenAi, limits, |organisation| {
            organisation.odd_headers = odd;
        });
        (0..1000)
            .map(|second| send(&mut model, at(second), Dialect::OpenAi))
            .collect::<Vec<Seen>>()
    };
    let (odd, plain) = (answers(true), answers(false));
    let statuses = |seen: &[Seen]| seen.iter().map(|seen| seen.status).collect::<Vec<u16>>();
    assert_eq!(statuses(&odd), statuses(&plain));
    let remaining = |seen: &Seen| {
        seen.header("x-ratelimit-remaining-requests")
            .map(str::to_owned)
    };
    let count = |holds: &dyn Fn(&Seen) -> bool| odd.iter().filter(|seen| holds(seen)).count();
    let missing = count(&|seen| remaining(seen).is_none());
    let negative = count(&|seen| remaining(seen).is_some_and(|left| left.starts_with('-')));
    let no_limit = count(&|seen| seen.header("x-ratelimit-limit-requests") == Some("-1"));
    for oddity in [missing, negative, no_limit] {
        assert!((50..130).contains(&oddity), "{oddity} of 1000");
    }
    assert!(plain.iter().all(|seen| remaining(seen).is_some()));
    let again = answers(true);
    assert!(
        odd.iter()
            .zip(&again)
            .all(|(one, two)| one.headers == two.headers)
    );
}

#[test]
fn growth_beyond_the_ramp_is_refused_in_the_words_of_the_provider_with_a_true_wait() {
    for (dialect, code) in [
        (Dialect::Anthropic, "ramp_limit_exceeded"),
        (Dialect::OpenAi, "slow_down"),
    ] {
        let mut model = model_of(dialect, Limits::NONE, |organisation| {
            organisation.ramp = Some(Ramp::new(Duration::from_mins(1), 1.5, 10));
        });
        assert_eq!(flood(&mut model, START, dialect), 10);
        let refused = send(&mut model, START, dialect);
        assert_eq!((refused.status, refused.code()), (429, Some(code)));
        assert_eq!(refused.header("retry-after"), Some("60"));
        let wait = refused.wait().unwrap();
        let early = START + wait.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(send(&mut model, early, dialect).status, 429);
        assert_eq!(flood(&mut model, START + wait, dialect), 25);
        assert_eq!(model.counters().key(KEY).admitted, 35);
        // Below the floor nobody is ever refused.
        for second in (200..500).step_by(7) {
            assert_eq!(send(&mut model, at(second), dialect).status, 200);
        }
    }
}

#[test]
fn whether_cache_reads_count_is_the_providers_rule_or_the_organisations() {
    let left = |dialect, rule: Option<bool>| {
        let limits = Limits {
            tokens_per_minute: Some(100_000),
            ..Limits::NONE
        };
        let mut model = model_of(dialect, limits, |organisation| {
            organisation.cache_reads_count = rule;
        });
        let request = Request::plain("m", 5000, Some(16)).with_cache_prefix(1, 4000);
        send_to(&mut model, START, endpoint(dialect), KEY, &request);
        let (_, ticket) = begin(&mut model, START, endpoint(dialect), KEY, &request);
        let mut ticket = ticket;
        model.produce(START, &mut ticket, 0);
        let left = model.quota(START, &ticket).tokens.unwrap().remaining;
        model.finish(START, ticket, Ending::Complete);
        // The first request: 5000 tokens, and at Anthropic its output.
        let output = if dialect == Dialect::Anthropic { 16 } else { 0 };
        100_000 - 5000 - output - left
    };
    assert_eq!(left(Dialect::OpenAi, None), 5000);
    assert_eq!(left(Dialect::OpenAi, Some(true)), 5000);
    assert_eq!(left(Dialect::OpenAi, Some(false)), 1000);
    assert_eq!(left(Dialect::Anthropic, None), 1000);
    assert_eq!(left(Dialect::Anthropic, Some(true)), 5000);
}

/// Begins a request that is granted.
#[cfg(test)]
fn begin(
    model: &mut Model,
    now: SimTime,
    endpoint: Endpoint,
    secret: &str,
    request: &Request,
) -> (keypool_sim::model::Usage, Ticket) {
    let verdict: Verdict = model.ask(now, endpoint, secret, request);
    let usage = verdict.grant().unwrap().usage;
    (usage, verdict.ticket.unwrap())
}

#[test]
fn a_day_ends_at_the_midnight_of_the_provider_whatever_the_algorithm() {
    const HOUR: u64 = 3600;
    // 2026-03-07T20:00:00Z: noon in California, on the eve of the change to summer time.
    let eve = SimTime::from_unix_micros(1_772_913_600_000_000);
    let hours = |hours: u64| eve + Duration::from_secs(hours * HOUR);
    for algorithm in [
        Algorithm::Bucket,
        Algorithm::FixedMinute,
        Algorithm::Sliding,
    ] {
        let model = |reset| {
            let limits = Limits {
                requests_per_day: Some(3),
                ..Limits::NONE
            };
            model_of(Dialect::OpenAi, limits, |organisation| {
                organisation.algorithm = algorithm;
                organisation.day_reset = Some(reset);
            })
        };
        let mut utc = model(DayReset::Utc);
        assert_eq!(flood(&mut utc, eve, Dialect::OpenAi), 3);
        let wait = send(&mut utc, eve, Dialect::OpenAi).wait();
        assert_eq!(wait, Some(Duration::from_secs(4 * HOUR)));
        let mut pacific = model(DayReset::Pacific);
        assert_eq!(flood(&mut pacific, eve, Dialect::OpenAi), 3);
        let wait = send(&mut pacific, eve, Dialect::OpenAi).wait();
        assert_eq!(wait, Some(Duration::from_secs(12 * HOUR)));
        // The next day has 23 hours.
        assert_eq!(flood(&mut pacific, hours(12), Dialect::OpenAi), 3);
        let refused = send(&mut pacific, hours(12), Dialect::OpenAi);
        assert_eq!(refused.wait(), Some(Duration::from_secs(23 * HOUR)));
        assert_eq!(
            refused.header("x-ratelimit-reset-requests"),
            Some("23h0m0s")
        );
        assert_eq!(flood(&mut pacific, hours(35), Dialect::OpenAi), 3);
    }
}

#[test]
fn answers_and_refusals_say_whose_key_it_was() {
    for (dialect, organisation, workspace) in [
        (
            Dialect::Anthropic,
            "anthropic-organization-id",
            "anthropic-workspace-id",
        ),
        (Dialect::OpenAi, "openai-organization", "openai-project"),
    ] {
        let limits = Limits::per_minute(1);
        let mut config = SimConfig::empty().with_keys(dialect, &[KEY, OTHER], limits);
        config.keys[0].workspace = Some("space-1".to_owned());
        let mut model = Model::new(START, &config).unwrap();
        let granted = send(&mut model, START, dialect);
        let refused = send(&mut model, START, dialect);
        let other = send_to(&mut model, START, endpoint(dialect), OTHER, &small());
        assert_eq!((granted.status, refused.status), (200, 429));
        assert_eq!(granted.header(workspace), Some("space-1"));
        assert_eq!(refused.header(workspace), Some("space-1"));
        assert_eq!(other.header(workspace), None);
        let shown = |seen: &Seen| seen.header(organisation).unwrap().to_owned();
        assert_eq!(shown(&granted), shown(&refused));
        assert_ne!(shown(&granted), shown(&other));
    }
}

#[test]
fn somebody_else_spends_the_quota_and_the_headers_show_it() {
    let limits = Limits {
        requests_per_minute: Some(10),
        input_tokens_per_minute: Some(10_000),
        ..Limits::NONE
    };
    let mut model = model_of(Dialect::Anthropic, limits, |organisation| {
        organisation.model_classes = vec![ModelClass {
            models: vec!["big-*".to_owned()],
            limits,
        }];
    });
    model.consume(START, "org-1", 4, 3000, 500).unwrap();
    let seen = send(&mut model, START, Dialect::Anthropic);
    assert_eq!(
        seen.header("anthropic-ratelimit-requests-remaining"),
        Some("5")
    );
    assert_eq!(
        seen.header("anthropic-ratelimit-input-tokens-remaining"),
        Some("7000")
    );
    // More than there is leaves nothing, but no debt: a request is regained in 6 s.
    model.consume(START, KEY, 1_000_000, 0, 0).unwrap();
    let refused = send(&mut model, START, Dialect::Anthropic);
    assert_eq!(refused.header("retry-after"), Some("6"));
    let big = Request::plain("big-1", 10, Some(10));
    let status = |model: &mut Model| send_to(model, START, Endpoint::Messages, KEY, &big).status;
    assert_eq!(status(&mut model), 200);
    model
        .consume_of_model(START, "org-1", "big-2", 9, 0, 0)
        .unwrap();
    assert_eq!(status(&mut model), 429);
    let counters = model.counters().key(KEY);
    assert_eq!((counters.admitted, counters.limited), (2, 2));
    assert!(model.consume(START, "nobody", 1, 0, 0).is_err());
}

#[test]
fn a_refusal_shows_the_counters_of_the_models_class() {
    let mut model = model_of(Dialect::Anthropic, Limits::per_minute(50), |organisation| {
        organisation.model_classes = vec![ModelClass {
            models: vec!["big-*".to_owned()],
            limits: Limits::per_minute(1),
        }];
    });
    let big = Request::plain("big-1", 10, Some(10));
    let mut send = || send_to(&mut model, START, Endpoint::Messages, KEY, &big);
    assert_eq!(send().status, 200);
    let refused = send();
    let limit = refused.header("anthropic-ratelimit-requests-limit");
    assert_eq!((refused.status, limit), (429, Some("1")));
}

#[test]
fn limits_are_lowered_and_raised_while_it_runs_and_what_was_used_stays_used() {
    for algorithm in [
        Algorithm::Bucket,
        Algorithm::FixedMinute,
        Algorithm::Sliding,
    ] {
        let mut model = model_of(Dialect::Anthropic, Limits::per_minute(10), |organisation| {
            organisation.algorithm = algorithm;
        });
        assert_eq!(flood(&mut model, START, Dialect::Anthropic), 10);
        model
            .set_limits(START, "org-1", Limits::per_minute(25))
            .unwrap();
        assert_eq!(
            flood(&mut model, START, Dialect::Anthropic),
            15,
            "{algorithm:?}"
        );
        model
            .set_limits(at(60), "org-1", Limits::per_minute(4))
            .unwrap();
        assert_eq!(
            flood(&mut model, at(60), Dialect::Anthropic),
            4,
            "{algorithm:?}"
        );
        let refused = send(&mut model, at(60), Dialect::Anthropic);
        let limit = refused.header("anthropic-ratelimit-requests-limit");
        assert_eq!(limit, Some("4"), "{algorithm:?}");
        assert_eq!(
            flood(&mut model, at(120), Dialect::Anthropic),
            4,
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_new_limit_keeps_the_date_of_what_was_used() {
    let mut model = model_of(Dialect::Anthropic, Limits::per_minute(10), |organisation| {
        organisation.algorithm = Algorithm::Sliding;
    });
    assert_eq!(flood(&mut model, START, Dialect::Anthropic), 10);
    model
        .set_limits(at(50), "org-1", Limits::per_minute(5))
        .unwrap();
    let refused = send(&mut model, at(50), Dialect::Anthropic);
    assert_eq!(refused.wait(), Some(Duration::from_secs(10)));
}

#[test]
fn a_response_is_continued_by_its_organisation_only() {
    let mut model = model_of(Dialect::OpenAi, Limits::NONE, |_| {});
    let (_, ticket) = begin(&mut model, START, Endpoint::Responses, KEY, &small());
    let id = model.response_id(&ticket);
    model.finish(START, ticket, Ending::Complete);
    assert!(id.starts_with("resp_"), "{id}");
    let next = small().after_response(&id);
    let mut send = |secret| send_to(&mut model, START, Endpoint::Responses, secret, &next);
    assert_eq!(send(KEY).status, 200);
    let refused = send(OTHER);
    assert_eq!(
        (refused.status, refused.code()),
        (404, Some("previous_response_not_found"))
    );
    assert!(refused.error.unwrap().message.contains(&id));
}

#[test]
fn a_thinking_block_is_taken_back_by_its_organisation_only() {
    let mut model = model_of(Dialect::Anthropic, Limits::NONE, |_| {});
    let (_, ticket) = begin(&mut model, START, Endpoint::Messages, KEY, &small());
    let signature = model.thinking_signature(&ticket);
    model.finish(START, ticket, Ending::Complete);
    let next = small().after_thinking(&signature);
    let mut send = |secret| send_to(&mut model, START, Endpoint::Messages, secret, &next);
    assert_eq!(send(KEY).status, 200);
    let refused = send(OTHER);
    let message = "messages.1.content.0: Invalid `signature` in `thinking` block";
    assert_eq!(
        (refused.status, refused.error.unwrap().message.as_str()),
        (400, message)
    );
}

#[test]
fn the_prompt_cache_is_one_per_workspace_at_anthropic_and_one_per_organisation_at_openai() {
    for dialect in [Dialect::Anthropic, Dialect::OpenAi, Dialect::Gemini] {
        let keys = ["one", "same", "apart", "without"];
        let mut config = SimConfig::empty().with_organisation("org", dialect, &keys, Limits::NONE);
        for (key, workspace) in config.keys.iter_mut().zip(["a", "a", "b"]) {
            key.workspace = Some(workspace.to_owned());
        }
        let mut model = Model::new(START, &config).unwrap();
        let request = Request::plain("m", 5000, Some(10)).with_cache_prefix(1, 4000);
        let mut read = |now, secret| {
            let (usage, ticket) = begin(&mut model, now, endpoint(dialect), secret, &request);
            model.finish(now, ticket, Ending::Complete);
            usage.cache_read
        };
        let reads = keys.map(|key| read(START, key));
        let expected = match dialect {
            Dialect::Anthropic => [0, 4000, 0, 0],
            Dialect::OpenAi | Dialect::Gemini => [0, 4000, 4000, 4000],
        };
        assert_eq!(reads, expected);
        // Each hit gives another five minutes.
        assert_eq!(read(at(299), "one"), 4000);
        assert_eq!(read(at(598), "one"), 4000);
        assert_eq!(read(at(898), "one"), 0);
    }
}

#[test]
fn habits_are_read_from_json_and_off_by_default() {
    let text = r#"{
        "name": "acme", "dialect": "openai", "headers": "groq", "oddHeaders": true,
        "ramp": { "windowMs": 900000, "factor": 1.5, "floor": 5 },
        "cacheReadsCount": false, "dayReset": "pacific", "thinking": true
    }"#;
    let organisation: Organisation = serde_json::from_str(text).unwrap();
    assert_eq!(organisation.headers, HeaderStyle::Groq);
    assert_eq!(
        organisation.ramp,
        Some(Ramp::new(Duration::from_mins(15), 1.5, 5))
    );
    assert_eq!(organisation.cache_reads_count, Some(false));
    assert_eq!(organisation.day_reset, Some(DayReset::Pacific));
    assert!(organisation.odd_headers && organisation.thinking);
    let again = serde_json::to_string(&organisation).unwrap();
    assert_eq!(
        serde_json::from_str::<Organisation>(&again).unwrap(),
        organisation
    );
    let plain: Organisation =
        serde_json::from_str(r#"{ "name": "acme", "dialect": "openai" }"#).unwrap();
    assert_eq!(
        plain,
        Organisation::new("acme", Dialect::OpenAi, Limits::NONE)
    );
}
