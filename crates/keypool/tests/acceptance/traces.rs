//! Group I: traces of the traffic (`GET /api/trace`, `keypool trace`), and planning with them.

use keypool_sim::{Fault, FaultWindow};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Answer, Api, CANARY, OpenAnswer, Setup, World, anthropic_key, eventually, run_keypool,
};
use crate::waiting::one_at_a_time;

/// Most recorders at one time.
const RECORDERS: usize = 4;

/// Begins to record; `query` says of what.
async fn recorder(world: &World, query: &str) -> OpenAnswer {
    let records = world.get(&format!("/api/trace{query}")).open().await;
    assert_eq!(records.status, 200);
    assert_eq!(records.headers["content-type"], "application/x-ndjson");
    records
}

/// The next record.
async fn record(records: &mut OpenAnswer) -> Value {
    let line = records.line().await;
    assert!(!line.contains(CANARY), "{line}");
    serde_json::from_str(&line).unwrap()
}

/// A record's fields that say what became of its request.
fn ending(record: &Value) -> (&Value, &Value, &Value) {
    (&record["provider"], &record["status"], &record["attempts"])
}

fn micros_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.unwrap().as_micros()).unwrap()
}

/// Input tokens and output tokens, as an answer that is no stream states them.
fn stated(answer: &Answer, api: Api) -> (Value, Value) {
    let mut body = answer.json();
    if api == Api::Gemini {
        let mut usage = body["usageMetadata"].take();
        return (
            usage["promptTokenCount"].take(),
            usage["candidatesTokenCount"].take(),
        );
    }
    let mut usage = body["usage"].take();
    let (input, output) = match api {
        Api::Messages | Api::Responses => ("input_tokens", "output_tokens"),
        Api::Chat | Api::Embeddings | Api::Gemini => ("prompt_tokens", "completion_tokens"),
    };
    let output = match api {
        Api::Embeddings => json!(0),
        _ => usage[output].take(),
    };
    (usage[input].take(), output)
}

#[tokio::test]
async fn every_request_leaves_a_record_of_what_it_asked_for_and_used() {
    let world = Setup::both(1).start().await;
    let mut records = recorder(&world, "").await;
    for api in Api::ALL {
        let before = micros_now();
        let answer = world.ask(api).await;
        answer.assert_ok();
        let record = record(&mut records).await;
        assert_eq!(
            ending(&record),
            (&json!(api.provider()), &json!(200), &json!(1))
        );
        assert_eq!(record["model"], api.model(), "{api:?}");
        let tokens = (
            record["inputTokens"].clone(),
            record["outputTokens"].clone(),
        );
        assert_eq!(tokens, stated(&answer, api), "{api:?}: {record}");
        assert_eq!(record["cachedTokens"], 0, "{record}");
        let bound = if api == Api::Messages {
            json!(100)
        } else {
            Value::Null
        };
        assert_eq!(record["maxOutputTokens"], bound, "{api:?}: {record}");
        assert_eq!(record["stream"], false, "{record}");
        assert_eq!(record["tenant"], "default", "{record}");
        assert_eq!(record["urgency"], "normal", "{record}");
        assert_eq!(record["queuedMs"], 0, "{record}");
        assert!(record["latencyMs"].is_u64(), "{record}");
        let at = record["at"].as_u64().unwrap();
        assert!((before..=micros_now()).contains(&at), "{record}");
    }
    for api in Api::STREAMED {
        world.ask_stream(api).await.assert_ok();
        let record = record(&mut records).await;
        assert_eq!(
            ending(&record),
            (&json!(api.provider()), &json!(200), &json!(1))
        );
        assert_eq!(record["stream"], true, "{record}");
        assert!(record["outputTokens"].as_u64().unwrap() > 0, "{record}");
    }
}

#[tokio::test]
async fn a_record_tells_tenants_and_conversations_apart_and_repeats_nothing_that_anybody_wrote() {
    const TEAM: &str = "team-canary-7f3a9c51e2-key";
    let world = Setup::anthropic(1)
        .set("/Tenants", json!([{ "name": "team", "key": TEAM }]))
        .set("/Admin/token", "admin-canary-7f3a9c51e2-token")
        .start()
        .await;
    let mut records = world
        .get("/api/trace")
        .header("authorization", "Bearer admin-canary-7f3a9c51e2-token")
        .open()
        .await;
    assert_eq!(world.get("/api/trace").await.status, 401);
    let tenants_own = world.get("/api/trace").header("x-api-key", TEAM);
    assert_eq!(tenants_own.await.status, 401);
    let mut sessions = Vec::new();
    for session in ["one-conversation", "one-conversation", "another"] {
        let asked = world
            .post(Api::Messages.path())
            .header("anthropic-version", "2023-06-01")
            .header("x-api-key", TEAM)
            .header("x-keypool-session", session)
            .header("x-keypool-priority", "batch")
            .json(&Api::Messages.body_of("a prompt in confidence"));
        asked.await.assert_ok();
        let line = records.line().await;
        for word in ["confidence", session, CANARY, "sk-a"] {
            assert!(!line.contains(word), "{line}");
        }
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["tenant"], "team", "{record}");
        assert_eq!(record["urgency"], "batch", "{record}");
        sessions.push(record["session"].as_u64().unwrap());
    }
    assert_eq!(sessions[0], sessions[1]);
    assert_ne!(sessions[0], sessions[2]);
}

#[tokio::test]
async fn a_request_leaves_one_record_however_many_attempts_it_took_and_however_it_ended() {
    let world = Setup::anthropic(2).strategy("fill-first").start().await;
    let mut records = recorder(&world, "").await;
    let faults = [
        (1, Fault::Unauthorized, 200, 2),
        (2, Fault::status(400), 400, 1),
        (2, Fault::rate_limited(100), 429, 1),
        // It is not even sent.
        (2, Fault::rate_limited(100), 429, 0),
    ];
    for (number, fault, status, attempts) in faults {
        world.fault(&anthropic_key(number), FaultWindow::next(1, fault));
        let answer = world.ask(Api::Messages).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let record = record(&mut records).await;
        let ended = (&json!("anthropic"), &json!(status), &json!(attempts));
        assert_eq!(ending(&record), ended, "{record}");
        assert_eq!(record["model"], Api::Messages.model(), "{record}");
        assert!(record["inputTokens"].as_u64().unwrap() > 0, "{record}");
        let answered = record["outputTokens"].as_u64().unwrap() > 0;
        assert_eq!(answered, status == 200, "{record}");
    }
}

#[tokio::test]
async fn counting_tokens_uses_none_and_leaves_no_record() {
    let world = Setup::anthropic(1).start().await;
    let mut records = recorder(&world, "").await;
    let body = Api::Messages.body_of("how long is this?");
    let counted = world
        .post("/v1/messages/count_tokens")
        .header("anthropic-version", "2023-06-01")
        .json(&body)
        .await;
    counted.assert_ok();
    world.ask(Api::Messages).await.assert_ok();
    let record = record(&mut records).await;
    assert!(record["outputTokens"].as_u64().unwrap() > 0, "{record}");
}

#[tokio::test]
async fn a_record_says_how_long_its_request_waited() {
    let world = one_at_a_time(100).start().await;
    let mut records = recorder(&world, "").await;
    let mut told = Vec::new();
    let mut recorded = Vec::new();
    for answer in world.burst(Api::Messages, 3).await {
        answer.assert_ok();
        told.push(answer.header("x-keypool-queued-ms").parse::<u64>().unwrap());
        let record = record(&mut records).await;
        recorded.push(record["queuedMs"].as_u64().unwrap());
        assert!(record["latencyMs"].as_u64().unwrap() >= 90, "{record}");
    }
    told.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(recorded, told);
    assert!(told[2] > 0, "{told:?}");
}

#[tokio::test]
async fn a_recorder_of_one_provider_sees_that_one_alone() {
    let world = Setup::both(1).start().await;
    let unknown = world.get("/api/trace?provider=nonesuch").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.error()["code"].is_string());
    let mut of_all = recorder(&world, "").await;
    let mut of_openai = recorder(&world, "?provider=openai").await;
    for api in [Api::Messages, Api::Chat, Api::Messages, Api::Embeddings] {
        world.ask(api).await.assert_ok();
        assert_eq!(record(&mut of_all).await["provider"], api.provider());
    }
    for model in [Api::Chat.model(), Api::Embeddings.model()] {
        assert_eq!(record(&mut of_openai).await["model"], model);
    }
}

#[tokio::test]
async fn there_are_only_so_many_recorders_and_one_that_leaves_makes_room() {
    let world = Setup::anthropic(1).start().await;
    let mut recorders = Vec::new();
    for _ in 0..RECORDERS {
        recorders.push(recorder(&world, "").await);
    }
    let refused = world.get("/api/trace").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.error()["code"], "too_many_listeners");
    recorders.pop();
    eventually("there is room for a recorder", async || {
        let answer = world.get("/api/trace").open().await;
        (answer.status == 200).then_some(())
    })
    .await;
    // None of this is in the way of the traffic.
    world.ask(Api::Messages).await.assert_ok();
    for records in &mut recorders {
        assert_eq!(record(records).await["status"], 200);
    }
}

#[tokio::test]
async fn a_stop_ends_a_recording_and_loses_none_of_the_requests_that_had_ended() {
    let mut world = Setup::anthropic(1).start().await;
    let records = recorder(&world, "").await;
    for answer in world.burst(Api::Messages, 100).await {
        answer.assert_ok();
    }
    eventually("all have ended", async || {
        let details = world.details("anthropic", &anthropic_key(1)).await;
        (details["metrics"]["inFlight"] == 0).then_some(())
    })
    .await;
    world.signal(Signal::TERM);
    let recorded = records.whole().await.text();
    assert_eq!(recorded.lines().count(), 100, "{recorded}");
    assert_eq!(world.gateway.exit_code().await, Some(0));
}

/// What `keypool trace` writes, after some requests to each provider; it ends with the gateway.
async fn recorded(world: &mut World, arguments: &[&str], at_least: usize) -> String {
    let file = world.directory.path().join("traffic.ndjson");
    let url = world.url().to_owned();
    let mut command = vec!["trace", "--url", &url, "--output", file.to_str().unwrap()];
    command.extend(arguments);
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    let drive = async {
        eventually("enough is recorded", async || {
            for api in [Api::Messages, Api::Chat] {
                world.ask(api).await.assert_ok();
            }
            (read().lines().count() >= at_least).then_some(())
        })
        .await;
        world.signal(Signal::TERM);
    };
    let (ran, ()) = tokio::join!(run_keypool(&command, &[]), drive);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    let text = read();
    let count = format!("{} requests recorded", text.lines().count());
    assert!(ran.stderr.contains(&count), "{}", ran.stderr);
    text
}

#[tokio::test]
async fn recorded_traffic_can_be_planned_with() {
    let mut world = Setup::both(2).start().await;
    let text = recorded(&mut world, &[], 20).await;
    assert!(!text.contains(CANARY), "{text}");
    let of = |provider: &str| {
        let mark = format!(r#""provider":"{provider}""#);
        text.lines().filter(|line| line.contains(&mark)).count()
    };
    let config = world.config_path();
    let file = world.directory.path().join("traffic.ndjson");
    let (config, file) = (config.to_str().unwrap(), file.to_str().unwrap());
    let plan = async |arguments: &[&str]| {
        let mut command = vec!["plan", "--config", config, "--trace", file];
        command.extend(arguments);
        run_keypool(&command, &[]).await
    };
    for provider in ["anthropic", "openai"] {
        let roomy = plan(&["--provider", provider, "--assume=rpm=60000"]).await;
        assert_eq!(roomy.code, Some(0), "{}", roomy.stderr);
        assert!(roomy.stdout.contains("the load fits"), "{}", roomy.stdout);
        let requests = format!("requests {0}, answered {0},", of(provider));
        assert!(roomy.stdout.contains(&requests), "{}", roomy.stdout);

        let tight = plan(&["--provider", provider, "--assume=rpm=1", "--json"]).await;
        assert_eq!(tight.code, Some(1), "{}", tight.stderr);
        assert!(
            tight.stderr.contains("more independent quota"),
            "{}",
            tight.stderr
        );
        let plan: Value = serde_json::from_str(&tight.stdout).unwrap();
        assert_eq!(plan["fits"], false, "{plan}");
    }
    // Nothing to plan with is not a load that fits.
    let unknown = plan(&["--assume=rpm=60"]).await;
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
}

#[tokio::test]
async fn a_recording_can_be_of_one_provider_and_another_has_nothing_to_plan_with() {
    let mut world = Setup::both(1).start().await;
    let text = recorded(&mut world, &["--provider", "openai"], 3).await;
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["provider"], "openai", "{record}");
    }
    let config = world.config_path();
    let file = world.directory.path().join("traffic.ndjson");
    let mut command = vec!["plan", "--config", config.to_str().unwrap()];
    command.extend(["--trace", file.to_str().unwrap(), "--assume=rpm=60"]);
    command.extend(["--provider", "anthropic"]);
    let ran = run_keypool(&command, &[]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("no request to anthropic"),
        "{}",
        ran.stderr
    );
    std::fs::write(&file, format!("{text}not a record\n")).unwrap();
    let ran = run_keypool(&command, &[]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let line = format!("line {}", text.lines().count() + 1);
    assert!(ran.stderr.contains(&line), "{}", ran.stderr);
}

#[tokio::test]
async fn a_recording_ends_when_its_time_is_over() {
    let world = Setup::anthropic(1).start().await;
    let command = ["trace", "--url", world.url(), "--seconds", "1"];
    let drive = async {
        // Until the recorder is there, requests leave no record.
        for _ in 0..20 {
            world.ask(Api::Messages).await.assert_ok();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let (ran, ()) = tokio::join!(run_keypool(&command, &[]), drive);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for line in ran.stdout.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["status"], 200, "{record}");
    }
    let unknown = ["trace", "--url", world.url(), "--provider", "nonesuch"];
    let ran = run_keypool(&unknown, &[]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("no provider"), "{}", ran.stderr);
}
