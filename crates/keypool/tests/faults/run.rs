//! Running a row: its world is set up, its request is sent, and what came of it is compared.

use std::time::{Duration, Instant};

use keypool_sim::{SimConfig, Spread};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet, spawn_local};

use crate::check;
use crate::clouds;
use crate::meets::What;
use crate::ports::OpenPort;
use crate::row::{Asked, Row, Sends, Step};
use crate::support::cloud::Server;
use crate::support::{
    self, Answer, Api, Call, PATIENCE, Setup, World, anthropic_key, eventually, gemini_key, mask,
    openai_key,
};

/// Rows that run at the same time, over all groups.
static PLACES: Semaphore = Semaphore::const_new(6);

/// The text of every answer.
pub(crate) const TEXT: &str =
    "The quick brown fox jumps over the lazy dog, key after key after key.";

/// The gateway's own key, where a row sets one. Shown to the gateway by the operator in each row.
const GATEWAY_KEY: &str = "gateway-key";

/// The number of a key which the simulated provider knows beside the row's own.
const SPARE: usize = 9;

/// Time between two looks at the keys.
const PAUSE: Duration = Duration::from_millis(20);

/// Pages on which a secret could show; what they say is searched when the world ends.
const PAGES: [&str; 8] = [
    "/metrics",
    "/api/apikeys/stats",
    "/api/apikeys/health",
    "/api/apikeys/distribution",
    "/api/metrics/realtime",
    "/api/alerts",
    "/api/queue/status",
    "/api/circuit-breaker/status",
];

/// What a client saw.
pub(crate) struct Seen {
    pub(crate) answer: Answer,
    /// The connection broke before the body was complete.
    pub(crate) is_broken: bool,
}

/// Runs rows, and fails with all that is wrong with any of them.
pub(crate) async fn all(rows: impl Iterator<Item = Row>) {
    let here = LocalSet::new();
    let mut running = JoinSet::new();
    for row in rows {
        let one = async move {
            let _place = PLACES.acquire().await.unwrap();
            let name = row.name();
            // A task of its own, so that a panic fails this row and names it.
            let complaints = spawn_local(run(row)).await;
            let complaints = complaints.unwrap_or_else(|panic| vec![panic.to_string()]);
            (name, complaints)
        };
        running.spawn_local_on(one, &here);
    }
    let mut failed = Vec::new();
    for (name, complaints) in here.run_until(running.join_all()).await {
        if !complaints.is_empty() {
            failed.push(format!("{name}\n    {}", complaints.join("\n    ")));
        }
    }
    failed.sort();
    assert!(
        failed.is_empty(),
        "{} rows do not hold:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// Runs one row; says what is not as it should be.
async fn run(row: Row) -> Vec<String> {
    // The ports come first, so that they outlive the gateway.
    let (_ports, clouds, world) = world_of(&row).await;
    for step in &row.before {
        take(step, &row, &world).await;
    }
    let before = received(&row, &clouds, &world);
    let began = Instant::now();
    let seen = ask(&row, &world).await;
    let took = began.elapsed();
    let reached = received(&row, &clouds, &world) - before;
    let mut complaints = check::answer(&row, &seen);
    complaints.extend(check::attempts(&row, &seen, reached));
    if took > row.within {
        complaints.push(format!("it took {took:?}"));
    }
    complaints.extend(keys(&row, &world).await);
    for page in PAGES {
        operator(&world).get(page).await;
    }
    if !complaints.is_empty() {
        complaints.push(format!("log:\n{}", world.log()));
    }
    complaints
}

/// The `number`-th key of the row's provider.
pub(crate) fn secret(asked: Asked, number: usize) -> String {
    match asked.vendor.name {
        "anthropic" => anthropic_key(number),
        "gemini" => gemini_key(number),
        "bedrock" => clouds::access_key(number),
        "vertex" => clouds::account(number),
        _ => openai_key(number),
    }
}

/// A key that is none of the row's provider's.
pub(crate) fn spare_secret(asked: Asked) -> String {
    secret(asked, SPARE)
}

async fn world_of(row: &Row) -> (Vec<OpenPort>, Vec<Server>, World) {
    let provider = row.asked.vendor.name;
    let speaks_like = match provider {
        own @ ("anthropic" | "gemini") => own,
        _ => "openai",
    };
    let secrets: Vec<String> = (1..=row.keys.len())
        .map(|number| secret(row.asked, number))
        .collect();
    let mut servers = Vec::new();
    let mut entries = Vec::new();
    for (number, (secret, meets)) in (1..).zip(secrets.iter().zip(&row.keys)) {
        if row.asked.vendor.is_cloud() {
            let server = clouds::serve(row.asked.vendor, meets).await;
            entries.push(clouds::entry(row.asked.vendor, number, &server));
            servers.push(server);
        } else {
            entries.push(json!({ "key": secret }));
        }
    }
    let mut setup = Setup::empty()
        .with_sim_keys(speaks_like, SPARE)
        .strategy("fill-first")
        .set("/ApiKeyPool/timeouts/connect", 1000)
        .set("/ApiKeyPool/timeouts/firstByte", 1000)
        .set("/ApiKeyPool/timeouts/idle", 800)
        .set(
            &format!("/ApiKeyPool/providers/{provider}/keys"),
            Value::from(entries),
        )
        .sim(answers);
    for setting in &row.settings {
        setup = setup.set(&setting.pointer, setting.value.clone());
    }
    let mut ports = Vec::new();
    for (number, meets) in row.keys.iter().enumerate() {
        if let What::Port(port) = meets.what {
            let port = OpenPort::open(port).await;
            setup = setup.key(number + 1, "baseUrl", port.base_url.as_str());
            ports.push(port);
        }
    }
    let world = setup.start().await;
    for (secret, meets) in secrets.iter().zip(&row.keys) {
        if let What::Fault(window) = &meets.what
            && servers.is_empty()
        {
            world.fault(secret, window.clone());
        }
    }
    (ports, servers, world)
}

/// Streams of ten pieces of text.
fn answers(sim: &mut SimConfig) {
    sim.answer.output_tokens = Spread::Fixed(40);
    sim.answer.text = Some(TEXT.to_owned());
}

async fn take(step: &Step, row: &Row, world: &World) {
    match step {
        Step::Ask(times) => {
            for _ in 0..*times {
                ask(row, world).await;
            }
        }
        Step::AskAtOnce(times) => {
            let mut calls = JoinSet::new();
            for _ in 0..*times {
                let call = request(row, world);
                calls.spawn(async move { call.open().await.ending().await });
            }
            calls.join_all().await;
        }
        Step::Heal => world.sim.sim().clear_faults(),
        Step::Post(path, body) => {
            world.post(path).json(body).await.data();
        }
        Step::Becomes(number, state) => {
            world.becomes(&secret(row.asked, *number), state).await;
        }
        Step::Breaker(state) => {
            let (provider, model) = (row.asked.vendor.name, row.asked.api.model());
            let what = format!("the breaker of {model} is {state}");
            eventually(&what, async || {
                let shown = world.get("/api/circuit-breaker/status").await.data();
                let breaker = &shown["providers"][provider]["models"][model];
                (breaker["state"] == *state).then_some(())
            })
            .await;
        }
    }
}

/// Requests for answers of a model that have reached the simulated provider, or the clouds' servers.
fn received(row: &Row, clouds: &[Server], world: &World) -> usize {
    if row.asked.vendor.is_cloud() {
        let received = clouds.iter().flat_map(Server::received);
        return received.filter(clouds::is_asked).count();
    }
    let is_one = |path: &str| match row.asked.api {
        // Model and method stand in it.
        Api::Gemini => path.contains("enerateContent"),
        api => path == api.path(),
    };
    let requests = world.received();
    requests
        .iter()
        .filter(|request| is_one(&request.path_and_query))
        .count()
}

fn request(row: &Row, world: &World) -> Call {
    let Asked {
        vendor,
        api,
        is_streamed,
    } = row.asked;
    let mut body = if is_streamed {
        api.streamed()
    } else {
        api.body()
    };
    body["model"] = format!("{},{}", vendor.name, api.model()).into();
    if api == Api::Gemini {
        if let Sends::With(member, value) = &row.sends {
            body[member] = value.clone();
        }
        return world.send(api, &body);
    }
    let mut headers = api.headers();
    let mut text = None;
    match &row.sends {
        Sends::Usual => {}
        Sends::With(member, value) => body[member] = value.clone(),
        Sends::Body(other) => text = Some(other.clone()),
        Sends::Header(name, value) => headers.push((name, value)),
    }
    let call = headers
        .into_iter()
        .fold(world.post(api.path()), |call, (name, value)| {
            call.header(name, value)
        });
    call.header("content-type", "application/json")
        .body(text.unwrap_or_else(|| body.to_string()))
}

async fn ask(row: &Row, world: &World) -> Seen {
    let answer = request(row, world).open().await;
    let (status, headers) = (answer.status.as_u16(), answer.headers.clone());
    let ending = answer.ending().await;
    Seen {
        answer: Answer {
            status,
            headers,
            body: ending.body,
        },
        is_broken: ending.broken,
    }
}

/// The client with which an operator looks.
fn operator(world: &World) -> support::Client {
    world.with_header("x-api-key", GATEWAY_KEY)
}

/// Looks at the keys until they are as they should be: some verdicts come after the answer.
async fn keys(row: &Row, world: &World) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE / 2;
    let path = format!("/api/apikeys/provider/{}", row.asked.vendor.name);
    loop {
        let shown = operator(world).get(&path).await.data();
        let mut complaints = Vec::new();
        for (number, leaves) in (1..).zip(&row.leaves) {
            let mask = mask(&secret(row.asked, number));
            let mut keys = shown["keys"].as_array().unwrap().iter();
            let key = keys.find(|key| key["key"] == mask).unwrap();
            if let Err(complaint) = check::key(row.asked, leaves, key) {
                complaints.push(format!("key {number} should be {leaves:?}: {complaint}"));
            }
        }
        if complaints.is_empty() || Instant::now() >= deadline {
            return complaints;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
