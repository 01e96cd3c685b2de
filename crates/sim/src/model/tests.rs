//! The model in virtual time: charging rules, shared quota, faults, refusals that tell the truth.

use std::time::Duration;

use super::*;
use crate::{Algorithm, Dialect, FaultWindow, Limits, ModelClass, Spread};

const KEY: &str = "sk-test-1";
const OTHER: &str = "sk-test-2";

fn at(seconds: u64) -> SimTime {
    SimTime::from_unix_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

fn model(config: &SimConfig) -> Model {
    Model::new(at(0), config).unwrap()
}

fn request(input_tokens: u64, max_tokens: Option<u64>) -> Request {
    Request {
        model: "some-model".to_owned(),
        max_tokens,
        input_tokens,
        ..Request::default()
    }
}

fn endpoint(dialect: Dialect) -> Endpoint {
    match dialect {
        Dialect::Anthropic => Endpoint::Messages,
        Dialect::OpenAi => Endpoint::ChatCompletions,
        Dialect::Gemini => Endpoint::GenerateContent,
    }
}

fn send_with(
    model: &mut Model,
    now: SimTime,
    dialect: Dialect,
    secret: &str,
    request: Request,
) -> Verdict {
    let credential = Credential {
        api_key: None,
        bearer: Some(secret),
        google: Some(secret),
    };
    model.begin(now, endpoint(dialect), credential, &Ok(request))
}

/// Sends a request and lets its answer be produced whole; the status and `retry-after`.
fn send(
    model: &mut Model,
    now: SimTime,
    dialect: Dialect,
    request: Request,
) -> (u16, Option<String>) {
    let Verdict { ticket, reply, .. } = send_with(model, now, dialect, KEY, request);
    let mut ticket = ticket.unwrap();
    let answer = match &reply {
        Reply::Grant(grant) => {
            model.produce(now, &mut ticket, grant.usage.output);
            (200, None)
        }
        Reply::Refusal(error) => (error.status, error.retry_after.as_deref().map(Into::into)),
        other => panic!("{other:?}"),
    };
    model.finish(now, ticket, Ending::Complete);
    answer
}

fn output_of(tokens: u64) -> AnswerConfig {
    AnswerConfig {
        output_tokens: Spread::Fixed(tokens),
        ..AnswerConfig::default()
    }
}

#[test]
fn anthropic_charges_real_output_and_ignores_max_tokens() {
    let limits = Limits {
        output_tokens_per_minute: Some(100),
        ..Limits::NONE
    };
    let config = SimConfig::anthropic(&[KEY], limits).with_answer(output_of(40));
    let mut model = model(&config);
    let ask = || request(10, Some(1_000_000));
    for _ in 0..3 {
        assert_eq!(send(&mut model, at(0), Dialect::Anthropic, ask()).0, 200);
    }
    // 120 of 100 were produced: the debt of 20 and one token more take 12.6 s to refill.
    let (status, retry_after) = send(&mut model, at(0), Dialect::Anthropic, ask());
    assert_eq!((status, retry_after.as_deref()), (429, Some("13")));
    assert_eq!(send(&mut model, at(13), Dialect::Anthropic, ask()).0, 200);
}

#[test]
fn anthropic_corrects_its_estimate_of_the_input() {
    let limits = Limits {
        input_tokens_per_minute: Some(1000),
        ..Limits::NONE
    };
    let mut config = SimConfig::anthropic(&[KEY], limits);
    config.organisations[0].input_estimate_percent = 150;
    let mut model = model(&config);
    let verdict = send_with(
        &mut model,
        at(0),
        Dialect::Anthropic,
        KEY,
        request(400, Some(10)),
    );
    let mut ticket = verdict.ticket.unwrap();
    assert_eq!(
        model.quota(at(0), &ticket).input_tokens.unwrap().remaining,
        400
    );
    model.produce(at(0), &mut ticket, 1);
    assert_eq!(
        model.quota(at(0), &ticket).input_tokens.unwrap().remaining,
        600
    );
    model.finish(at(0), ticket, Ending::Complete);
}

#[test]
fn openai_reserves_the_larger_of_max_tokens_and_input_and_gives_nothing_back() {
    let limits = Limits {
        tokens_per_minute: Some(1000),
        ..Limits::NONE
    };
    let mut model = model(&SimConfig::openai(&[KEY], limits).with_answer(output_of(1)));
    assert_eq!(
        send(&mut model, at(0), Dialect::OpenAi, request(10, Some(600))).0,
        200
    );
    let (status, retry_after) = send(&mut model, at(0), Dialect::OpenAi, request(10, Some(600)));
    assert_eq!((status, retry_after.as_deref()), (429, Some("12")));
    assert_eq!(
        send(&mut model, at(0), Dialect::OpenAi, request(400, Some(10))).0,
        200
    );
    assert_eq!(
        send(&mut model, at(0), Dialect::OpenAi, request(1, None)).0,
        429
    );
}

#[test]
fn openai_counts_failed_requests_and_anthropic_does_not() {
    let failing = |dialect, config: SimConfig| {
        let mut model = model(&config);
        model
            .set_faults(at(0), KEY, vec![FaultWindow::next(2, Fault::status(500))])
            .unwrap();
        let statuses: Vec<u16> = (0..5)
            .map(|_| send(&mut model, at(0), dialect, request(1, Some(1))).0)
            .collect();
        statuses
    };
    let limits = Limits::per_minute(3);
    let openai = failing(Dialect::OpenAi, SimConfig::openai(&[KEY], limits));
    assert_eq!(openai, [500, 500, 200, 429, 429]);
    let anthropic = failing(Dialect::Anthropic, SimConfig::anthropic(&[KEY], limits));
    assert_eq!(anthropic, [500, 500, 200, 200, 200]);
}

#[test]
fn keys_of_one_organisation_share_its_limit_and_other_organisations_do_not() {
    let limits = Limits::per_minute(2);
    let config = SimConfig::empty()
        .with_organisation("shared", Dialect::Anthropic, &[KEY, OTHER], limits)
        .with_organisation("apart", Dialect::Anthropic, &["sk-apart"], limits);
    let mut model = model(&config);
    let mut status = |secret| {
        let verdict = send_with(
            &mut model,
            at(0),
            Dialect::Anthropic,
            secret,
            request(1, Some(1)),
        );
        model.finish(at(0), verdict.ticket.unwrap(), Ending::Complete);
        verdict.reply.status().unwrap()
    };
    assert_eq!(
        [status(KEY), status(OTHER), status(KEY), status(OTHER)],
        [200, 200, 429, 429]
    );
    assert_eq!(status("sk-apart"), 200);
}

#[test]
fn a_keys_own_limit_holds_below_that_of_its_organisation() {
    let mut config = SimConfig::anthropic(&[KEY], Limits::per_minute(10));
    config.keys[0].limits = Limits::per_minute(1);
    let mut model = model(&config);
    let ask = || request(1, Some(1));
    assert_eq!(send(&mut model, at(0), Dialect::Anthropic, ask()).0, 200);
    let (status, retry_after) = send(&mut model, at(0), Dialect::Anthropic, ask());
    assert_eq!((status, retry_after.as_deref()), (429, Some("60")));
}

#[test]
fn a_model_class_has_counters_of_its_own() {
    let mut config = SimConfig::anthropic(&[KEY], Limits::per_minute(1));
    let class = ModelClass {
        models: vec!["big-*".to_owned()],
        limits: Limits::per_minute(2),
    };
    config.organisations[0].model_classes = vec![class];
    let mut model = model(&config);
    let mut status = |name: &str| {
        let request = Request {
            model: name.to_owned(),
            ..request(1, Some(1))
        };
        send(&mut model, at(0), Dialect::Anthropic, request).0
    };
    assert_eq!([status("small"), status("small")], [200, 429]);
    assert_eq!(
        [status("big-1"), status("big-2"), status("big-1")],
        [200, 200, 429]
    );
}

#[test]
fn the_wait_that_a_refusal_names_is_enough_and_one_second_less_is_not() {
    for dialect in [Dialect::Anthropic, Dialect::OpenAi] {
        for algorithm in [
            Algorithm::Bucket,
            Algorithm::FixedMinute,
            Algorithm::Sliding,
        ] {
            let limits = Limits {
                requests_per_minute: Some(5),
                tokens_per_minute: Some(900),
                ..Limits::NONE
            };
            let config = SimConfig::empty()
                .with_organisation("org", dialect, &[KEY], limits)
                .with_algorithm(algorithm);
            let mut model = model(&config);
            let mut now = 7;
            let mut refusals = 0;
            while refusals < 20 {
                let (status, wait) = send(&mut model, at(now), dialect, request(150, Some(150)));
                if status == 200 {
                    continue;
                }
                refusals += 1;
                let wait: u64 = wait.unwrap().parse().unwrap();
                assert!(wait >= 1, "{dialect:?} {algorithm:?}");
                // OpenAI's refused requests count, so only the promise itself is tried there.
                if dialect == Dialect::Anthropic {
                    let early = send(
                        &mut model,
                        at(now + wait - 1),
                        dialect,
                        request(150, Some(150)),
                    );
                    assert_eq!(early.0, 429, "{dialect:?} {algorithm:?}");
                }
                now += wait;
                let (status, _) = send(&mut model, at(now), dialect, request(150, Some(150)));
                assert_eq!(status, 200, "{dialect:?} {algorithm:?}");
            }
        }
    }
}

#[test]
fn the_wait_allows_for_the_refused_request_itself_where_it_counts() {
    let limits = Limits {
        requests_per_minute: Some(2),
        tokens_per_minute: Some(100),
        ..Limits::NONE
    };
    let mut model = model(&SimConfig::openai(&[KEY], limits));
    let mut send = |second, max| {
        send(
            &mut model,
            at(second),
            Dialect::OpenAi,
            request(1, Some(max)),
        )
    };
    assert_eq!(send(0, 100).0, 200);
    // Ten tokens would be there after 6 s, but the refusal took the second request of the minute.
    let (status, wait) = send(0, 10);
    assert_eq!((status, wait.as_deref()), (429, Some("30")));
    assert_eq!(send(30, 10).0, 200);
}

#[test]
fn a_keys_own_bound_on_requests_in_flight_frees_as_they_end() {
    let mut config = SimConfig::openai(&[KEY], Limits::NONE);
    let own = Limits {
        max_concurrent: Some(1),
        ..Limits::NONE
    };
    config.keys[0].limits = own;
    let mut model = model(&config);
    for second in 0..3 {
        let (status, _) = send(&mut model, at(second), Dialect::OpenAi, request(1, None));
        assert_eq!(status, 200);
    }
}

#[test]
fn a_steady_flood_gets_exactly_the_limit_through() {
    let mut model = model(&SimConfig::anthropic(&[KEY], Limits::per_minute(50)));
    let mut admitted = 0;
    for tenth in 0..6000_u64 {
        let now = SimTime::from_unix_micros(at(0).as_unix_micros() + tenth * 100_000);
        let (status, _) = send(&mut model, now, Dialect::Anthropic, request(1, Some(1)));
        admitted += u64::from(status == 200);
    }
    // Ten minutes of 50, and the bucket that was full at the start.
    assert!((548..=550).contains(&admitted), "{admitted}");
    assert_eq!(model.counters().key(KEY).admitted, admitted);
    assert_eq!(model.counters().key(KEY).limited, 6000 - admitted);
}

#[test]
fn requests_in_flight_are_bounded_until_one_ends() {
    let limits = Limits {
        max_concurrent: Some(2),
        ..Limits::NONE
    };
    let mut model = model(&SimConfig::openai(&[KEY], limits));
    let begin = |model: &mut Model| send_with(model, at(0), Dialect::OpenAi, KEY, request(1, None));
    let first = begin(&mut model);
    let second = begin(&mut model);
    let third = begin(&mut model);
    assert_eq!(third.reply.status(), Some(429));
    model.finish(at(0), third.ticket.unwrap(), Ending::Complete);
    model.finish(at(0), first.ticket.unwrap(), Ending::Cancelled);
    let fourth = begin(&mut model);
    assert_eq!(fourth.reply.status(), Some(200));
    model.finish(at(0), second.ticket.unwrap(), Ending::Complete);
    model.finish(at(0), fourth.ticket.unwrap(), Ending::Complete);
    let counters = model.counters().key(KEY);
    assert_eq!((counters.in_flight, counters.in_flight_peak), (0, 3));
    assert_eq!((counters.completed, counters.cancelled), (2, 1));
}

#[test]
fn the_wait_for_a_counter_keeps_its_fraction_when_the_minute_is_short() {
    let config =
        SimConfig::openai(&[KEY], Limits::per_minute(10)).with_minute(Duration::from_secs(2));
    let mut model = model(&config);
    for _ in 0..10 {
        assert_eq!(
            send(&mut model, at(0), Dialect::OpenAi, request(1, None)).0,
            200
        );
    }
    let (status, wait) = send(&mut model, at(0), Dialect::OpenAi, request(1, None));
    assert_eq!((status, wait.as_deref()), (429, Some("0.200")));
    assert_eq!(
        send(&mut model, at(1), Dialect::OpenAi, request(1, None)).0,
        200
    );
}

#[test]
fn a_fault_strikes_within_its_window_and_as_often_as_it_says() {
    let mut model = model(&SimConfig::anthropic(&[KEY, OTHER], Limits::NONE));
    let window = FaultWindow {
        requests: Some(2),
        ..FaultWindow::between(
            Duration::from_secs(10),
            Duration::from_secs(20),
            Fault::overloaded(),
        )
    };
    model.set_faults(at(0), KEY, vec![window]).unwrap();
    let mut status = |second| {
        send(
            &mut model,
            at(second),
            Dialect::Anthropic,
            request(1, Some(1)),
        )
        .0
    };
    assert_eq!(
        [status(9), status(10), status(11), status(12)],
        [200, 529, 529, 200]
    );
    assert_eq!(model.counters().key(KEY).faults, 2);
}

#[test]
fn a_fault_for_all_keys_strikes_each_of_them_and_a_keys_own_goes_first() {
    let mut model = model(&SimConfig::anthropic(&[KEY, OTHER], Limits::NONE));
    model.set_faults_of_all(at(0), vec![Fault::status(500).into()]);
    model
        .set_faults(at(0), KEY, vec![FaultWindow::next(1, Fault::Unauthorized)])
        .unwrap();
    let mut status = |secret| {
        let verdict = send_with(
            &mut model,
            at(0),
            Dialect::Anthropic,
            secret,
            request(1, Some(1)),
        );
        model.finish(at(0), verdict.ticket.unwrap(), Ending::Complete);
        verdict.reply.status().unwrap()
    };
    assert_eq!([status(KEY), status(KEY), status(OTHER)], [401, 500, 500]);
}

#[test]
fn a_fault_can_be_kept_to_some_models() {
    let mut model = model(&SimConfig::anthropic(&[KEY], Limits::NONE));
    let window = FaultWindow::always(Fault::Forbidden).for_models(&["big-*"]);
    model.set_faults(at(0), KEY, vec![window]).unwrap();
    let mut status = |name: &str| {
        let request = Request {
            model: name.to_owned(),
            ..request(1, Some(1))
        };
        send(&mut model, at(0), Dialect::Anthropic, request).0
    };
    assert_eq!([status("big-1"), status("small")], [403, 200]);
}

#[test]
fn a_share_of_requests_fails_and_the_seed_decides_which() {
    let failures = |seed| {
        let mut config = SimConfig::anthropic(&[KEY], Limits::NONE);
        config.seed = seed;
        config.faults = vec![FaultWindow::always(Fault::status(500)).share(0.25)];
        let mut model = model(&config);
        let send = |_| send(&mut model, at(0), Dialect::Anthropic, request(1, Some(1))).0;
        (0..2000).map(send).collect::<Vec<u16>>()
    };
    let failed = failures(1).iter().filter(|status| **status == 500).count();
    assert!((430..570).contains(&failed), "{failed} of 2000");
    assert_eq!(failures(1), failures(1));
    assert_ne!(failures(1), failures(2));
}

#[test]
fn a_revoked_key_is_refused_until_it_is_restored() {
    let mut model = model(&SimConfig::openai(&[KEY], Limits::NONE));
    let status = |model: &mut Model| send(model, at(0), Dialect::OpenAi, request(1, None)).0;
    assert_eq!(status(&mut model), 200);
    model.set_revoked(KEY, true).unwrap();
    assert_eq!(status(&mut model), 401);
    model.set_revoked(KEY, false).unwrap();
    assert_eq!(status(&mut model), 200);
    assert_eq!(model.counters().key(KEY).with_status(401), 1);
}

#[test]
fn a_key_of_one_provider_is_unknown_to_the_other() {
    let mut model = model(&SimConfig::openai(&[KEY], Limits::NONE));
    let verdict = send_with(
        &mut model,
        at(0),
        Dialect::Anthropic,
        KEY,
        request(1, Some(1)),
    );
    assert!(verdict.ticket.is_none());
    assert_eq!(verdict.reply.status(), Some(401));
    assert_eq!(model.counters().unknown_key, 1);
}

#[test]
fn lowered_limits_hold_at_once_and_keep_what_was_used() {
    let mut model = model(&SimConfig::anthropic(&[KEY], Limits::per_minute(100)));
    for _ in 0..5 {
        send(&mut model, at(0), Dialect::Anthropic, request(1, Some(1)));
    }
    model.set_limits(at(0), KEY, Limits::per_minute(6)).unwrap();
    let mut status = || send(&mut model, at(0), Dialect::Anthropic, request(1, Some(1))).0;
    assert_eq!([status(), status()], [200, 429]);
}

#[test]
fn a_reset_refills_limits_and_forgets_counts() {
    let mut model = model(&SimConfig::anthropic(&[KEY], Limits::per_minute(1)));
    let status = |model: &mut Model| send(model, at(0), Dialect::Anthropic, request(1, Some(1))).0;
    assert_eq!([status(&mut model), status(&mut model)], [200, 429]);
    model.reset(at(0));
    assert_eq!(model.counters().key(KEY).requests, 0);
    assert_eq!(status(&mut model), 200);
}

#[test]
fn a_cached_prefix_is_written_once_and_then_read_free_of_the_input_limit() {
    let limits = Limits {
        input_tokens_per_minute: Some(10_000),
        ..Limits::NONE
    };
    let mut model = model(&SimConfig::anthropic(&[KEY], limits));
    let prefix = CachePrefix {
        hash: 1,
        tokens: 6000,
    };
    let ask = || Request {
        cache_prefixes: vec![prefix],
        ..request(6100, Some(10))
    };
    let mut status = |second| send(&mut model, at(second), Dialect::Anthropic, ask()).0;
    // The estimate at admission knows nothing of the cache: 6100 must fit, though 100 are charged.
    assert_eq!(
        [status(0), status(0), status(30), status(30)],
        [200, 429, 200, 200]
    );
    // Five minutes after its last use the prefix is gone.
    assert_eq!(status(330), 200);
    let counters = model.counters().key(KEY);
    assert_eq!(
        (counters.cache_write_tokens, counters.cache_read_tokens),
        (12_000, 12_000)
    );
}

#[test]
fn headers_follow_the_counters_of_the_organisation() {
    let limits = Limits {
        requests_per_minute: Some(10),
        input_tokens_per_minute: Some(20_000),
        output_tokens_per_minute: Some(8000),
        ..Limits::NONE
    };
    let mut model = model(&SimConfig::anthropic(&[KEY], limits).with_answer(output_of(1000)));
    let verdict = send_with(
        &mut model,
        at(0),
        Dialect::Anthropic,
        KEY,
        request(5000, Some(2000)),
    );
    let mut ticket = verdict.ticket.unwrap();
    model.produce(at(0), &mut ticket, 1000);
    let headers = model.headers(at(0), &ticket);
    model.finish(at(0), ticket, Ending::Complete);
    let get = |name: &str| {
        let name = format!("anthropic-ratelimit-{name}");
        headers
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(
        (get("requests-limit"), get("requests-remaining")),
        ("10".into(), "9".into())
    );
    assert_eq!(get("requests-reset"), "2027-01-15T08:00:06Z");
    assert_eq!(get("input-tokens-remaining"), "15000");
    assert_eq!(get("input-tokens-reset"), "2027-01-15T08:00:15Z");
    assert_eq!(
        (get("tokens-limit"), get("tokens-remaining")),
        ("28000".into(), "22000".into())
    );
}
