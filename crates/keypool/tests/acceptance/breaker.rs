//! Group H: an outage of a provider is told from bad keys, and is left alone.

use keypool_sim::{Fault, FaultWindow};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Answer, Api, Setup, World, anthropic_key, eventually, openai_key};

/// Enough requests for a breaker to judge: each is tried on all keys three times.
const REQUESTS: usize = 4;

async fn at_once(world: &World, api: Api, count: usize) -> Vec<Answer> {
    let mut asked = JoinSet::new();
    for _ in 0..count {
        let client = world.over_http1();
        asked.spawn(async move { client.ask(api).await });
    }
    asked.join_all().await
}

async fn status(world: &World) -> Value {
    world.get("/api/circuit-breaker/status").await.data()
}

/// Opens the breaker of the model that `api` asks for by an outage of its provider.
async fn outage(world: &World, api: Api, fault: Fault) -> Vec<Answer> {
    world.sim.sim().set_faults_of_all(vec![fault.into()]);
    let answers = at_once(world, api, REQUESTS).await;
    let state = status(world).await;
    let breaker = &state["providers"][api.provider()]["models"][api.model()];
    assert_eq!(breaker["state"], "open", "{state}");
    answers
}

// acceptance 71, 72
#[tokio::test]
async fn an_outage_opens_the_breaker_and_marks_no_key_bad() {
    for api in [Api::Messages, Api::Chat] {
        let world = Setup::both(3).start().await;
        for answer in outage(&world, api, Fault::status(500)).await {
            assert!([500, 503].contains(&answer.status), "{}", answer.text());
        }
        for number in 1..=3 {
            assert_eq!(world.score(&api.key(number)).await, 100);
            assert_eq!(world.state(&api.key(number)).await, "healthy");
        }
        let received = world.received().len();
        let refused = world.ask(api).await;
        api.assert_error(&refused, 503, "breaker_open");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=5).contains(&wait), "{wait}");
        assert_eq!(world.received().len(), received, "nothing was sent");
        world
            .log_line(&["[API-KEY-POOL]", "alert", "circuit breaker", api.model()])
            .await;
        let series = format!(
            "keypool_breaker_state{{provider=\"{}\",model=\"{}\"}}",
            api.provider(),
            api.model()
        );
        assert_eq!(world.metric(&series).await, Some(2.0));
    }
}

// acceptance 71: the guide's command, as it is printed.
#[tokio::test]
async fn a_reset_lets_requests_through_at_once() {
    let world = Setup::anthropic(2).start().await;
    outage(&world, Api::Messages, Fault::overloaded()).await;
    world.sim.sim().clear_faults();
    assert_eq!(world.ask(Api::Messages).await.status, 503);
    let reset = world
        .post("/api/circuit-breaker/reset")
        .json(&json!({"provider": "anthropic"}))
        .await;
    assert_eq!(reset.data()["reset"], 1);
    world.ask(Api::Messages).await.assert_ok();
    let state = status(&world).await;
    assert_eq!(state["providers"]["anthropic"]["state"], "closed");
    assert_eq!(state["providers"]["anthropic"]["models"], json!({}));
}

// acceptance 71
#[tokio::test]
async fn when_the_outage_is_over_one_request_finds_out_and_closes_it() {
    let (world, clock) = Setup::anthropic(2).start_with_manual_clock().await;
    outage(&world, Api::Messages, Fault::status(500)).await;
    clock.advance(4);
    assert_eq!(world.ask(Api::Messages).await.status, 503);
    clock.advance(1);
    // Not over yet: the one that tries opens it for twice as long.
    assert_eq!(world.ask(Api::Messages).await.status, 500);
    clock.advance(9);
    world.sim.sim().clear_faults();
    assert_eq!(world.ask(Api::Messages).await.status, 503);
    clock.advance(1);
    world.ask(Api::Messages).await.assert_ok();
    world.ask(Api::Messages).await.assert_ok();
}

// acceptance 72
#[tokio::test]
async fn one_bad_key_opens_no_breaker_and_costs_no_client_anything() {
    let world = Setup::anthropic(3).start().await;
    world.fault(&anthropic_key(1), Fault::status(500));
    for _ in 0..30 {
        world.ask(Api::Messages).await.assert_ok();
    }
    let state = status(&world).await;
    let models = &state["providers"]["anthropic"]["models"];
    assert!(
        models
            .as_object()
            .unwrap()
            .values()
            .all(|one| one["state"] == "closed")
    );
    for sound in [2, 3] {
        assert_eq!(world.score(&anthropic_key(sound)).await, 100);
    }
    assert!(world.score(&anthropic_key(1)).await < 100);
}

// acceptance 71
#[tokio::test]
async fn while_a_breaker_is_open_the_fallback_serves() {
    let world = Setup::both(1)
        .set(
            "/Aliases",
            json!({ "either": ["openai,gpt-first", "openai,gpt-second"] }),
        )
        .start()
        .await;
    let first = FaultWindow::always(Fault::overloaded()).for_models(&["gpt-first"]);
    world.fault(&openai_key(1), first);
    let mut body = Api::Chat.body();
    body["model"] = "either".into();
    for _ in 0..12 {
        world.post(Api::Chat.path()).json(&body).await.assert_ok();
    }
    let state = status(&world).await;
    let breaker = &state["providers"]["openai"]["models"]["gpt-first"];
    assert_eq!(breaker["state"], "open", "{state}");
    let before = world.received().len();
    let answer = world.post(Api::Chat.path()).json(&body).await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-attempts"), "1");
    assert_eq!(world.received().len(), before + 1);
}

// acceptance 71
#[tokio::test]
async fn an_operator_opens_a_breaker_and_it_stays_open_until_he_resets_it() {
    let (world, clock) = Setup::both(1).start_with_manual_clock().await;
    let forced = world
        .post("/api/circuit-breaker/force-open")
        .json(&json!({"provider": "anthropic"}))
        .await
        .data();
    assert_eq!(
        (&forced["state"], &forced["forced"]),
        (&json!("open"), &json!(true))
    );
    clock.advance(3600);
    let refused = world.ask(Api::Messages).await;
    Api::Messages.assert_error(&refused, 503, "breaker_open");
    assert_eq!(refused.header("x-should-retry"), "false");
    world.ask(Api::Chat).await.assert_ok();
    let reset = json!({"provider": "anthropic"});
    world
        .post("/api/circuit-breaker/reset")
        .json(&reset)
        .await
        .assert_ok();
    world.ask(Api::Messages).await.assert_ok();
    for (action, body, status) in [
        ("force-open", json!({}), 400),
        ("force-open", json!({"provider": "nobody"}), 404),
        ("reset", json!({"provider": "nobody"}), 404),
        ("reset", json!({"providers": "anthropic"}), 400),
    ] {
        let path = format!("/api/circuit-breaker/{action}");
        let answer = world.post(&path).json(&body).await;
        assert_eq!(answer.status, status, "{action} {body}");
    }
}

// acceptance 59, 66: what passes by itself is not seen by the client.
#[tokio::test]
async fn a_hiccup_of_all_keys_is_cured_by_another_round() {
    for fault in [
        Fault::status(500),
        Fault::overloaded(),
        Fault::ResetBeforeHead,
    ] {
        let world = Setup::anthropic(2).start().await;
        for number in [1, 2] {
            world.fault(&anthropic_key(number), FaultWindow::next(1, fault.clone()));
        }
        let answer = world.ask(Api::Messages).await;
        answer.assert_ok();
        assert_eq!(answer.header("x-keypool-attempts"), "3", "{fault:?}");
        for number in [1, 2] {
            assert_eq!(world.score(&anthropic_key(number)).await, 100, "{fault:?}");
        }
    }
}

// issue: no storm when everything fails
#[tokio::test]
async fn in_an_outage_the_provider_gets_little_more_than_was_asked_for() {
    let world = Setup::anthropic(3).start().await;
    world
        .sim
        .sim()
        .set_faults_of_all(vec![Fault::status(500).into()]);
    for _ in 0..10 {
        for answer in at_once(&world, Api::Messages, 100).await {
            assert!([500, 503].contains(&answer.status));
        }
    }
    // Without bounds it would be 1000 requests, three keys, three rounds: 9000.
    let sent = world.sim.sim().counters().requests;
    assert!(sent < 1000, "{sent}");
}

// retry.maxReplays: the provider may have worked on what it did not answer.
#[tokio::test]
async fn what_may_have_run_is_sent_again_only_as_often_as_is_allowed() {
    for (most, fault, attempts, status) in [
        (json!(null), Fault::ResetBeforeHead, 2, 200),
        (json!(0), Fault::ResetBeforeHead, 1, 502),
        // It answered, so it did not run.
        (json!(0), Fault::status(500), 2, 200),
    ] {
        let world = Setup::anthropic(2)
            .strategy("fill-first")
            .set("/ApiKeyPool/retry/maxReplays", most)
            .start()
            .await;
        world.fault(&anthropic_key(1), fault);
        let answer = world.ask(Api::Messages).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-keypool-attempts"), attempts.to_string());
    }
}

/// When a key's last error was.
async fn last_error(world: &World, secret: &str) -> String {
    world.health(secret).await["lastError"]["at"].to_string()
}

// acceptance 53, 55: nothing recovers while it still fails.
#[tokio::test]
async fn a_dead_key_stays_out_as_long_as_its_probes_fail() {
    let (world, clock) = Setup::anthropic(2).start_with_manual_clock().await;
    let dead = anthropic_key(1);
    world.sim.sim().revoke(&dead).unwrap();
    while world.state(&dead).await != "unavailable" {
        world.ask(Api::Messages).await.assert_ok();
    }
    // The probe that is made at once is over before the clock moves.
    eventually("it was probed", async || {
        let refusals =
            &world.details("anthropic", &dead).await["metrics"]["upstreamStatuses"]["401"];
        (*refusals == json!(2)).then_some(())
    })
    .await;
    // The clock began at midnight, and stands still but for this.
    let mut seconds = 0;
    for minutes in [1, 5, 30, 60, 60] {
        clock.advance(minutes * 60 + 1);
        seconds += minutes * 60 + 1;
        let (minute, hour) = (seconds / 60 % 60, seconds / 3600);
        let now = format!("T{hour:02}:{minute:02}:{:02}", seconds % 60);
        eventually("it was refused again", async || {
            last_error(&world, &dead).await.contains(&now).then_some(())
        })
        .await;
        assert_eq!(world.state(&dead).await, "unavailable");
    }
    world.sim.sim().restore(&dead).unwrap();
    world.post("/api/apikeys/health-check").await.data();
    world.becomes(&dead, "healthy").await;
}
