//! `keypool status` and the listing of keys.

use serde_json::{Value, json};

use super::Failure;
use super::args::StatusArgs;
use super::output::{Table, coloured_state, takes_colours};
use super::remote::{Remote, escaped, text};

/// Shows what every key is doing.
pub(super) fn status(args: &StatusArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let stats = remote.get(&stats_path(args.provider.as_deref()))?;
    let health = health(&remote, args.provider.as_deref())?;
    let answer = json!({ "stats": stats, "health": health });
    remote.print(&answer, |answer| render(answer, remote.url()));
    Ok(())
}

/// Lists the keys.
pub(super) fn list(args: &StatusArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let health = health(&remote, args.provider.as_deref())?;
    remote.print(&health, |health| {
        let mut table = Table::new(&[
            "PROVIDER", "ID", "KEY", "NAME", "STATE", "ENABLED", "PRIORITY",
        ]);
        let colours = takes_colours();
        for (provider, key) in keys(health) {
            table.row(vec![
                provider.to_owned(),
                text(key, "id"),
                text(key, "key"),
                text(key, "name"),
                coloured_state(&text(key, "health"), colours),
                text(key, "enabled"),
                text(key, "priority"),
            ]);
        }
        table.render()
    });
    Ok(())
}

/// The health of all providers, or of one.
pub(super) fn health(remote: &Remote, provider: Option<&str>) -> Result<Value, Failure> {
    let mut health = remote.get("/api/apikeys/health")?;
    let Some(name) = provider else {
        return Ok(health);
    };
    if let Some(found) = health.get_mut(name).map(Value::take) {
        return Ok(json!({ name: found }));
    }
    let known: Vec<_> = health
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let message = format!(
        "there is no provider {name:?}; configured: {}",
        known.join(", ")
    );
    Err(anyhow::anyhow!(message).into())
}

/// All keys of a health answer, with their providers.
pub(super) fn keys(health: &Value) -> impl Iterator<Item = (&str, &Value)> {
    health
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(provider, health)| {
            let keys = health.get("keys").and_then(Value::as_array);
            keys.into_iter()
                .flatten()
                .map(move |key| (provider.as_str(), key))
        })
}

fn stats_path(provider: Option<&str>) -> String {
    let query = provider
        .map(|name| format!("?provider={}", escaped(name)))
        .unwrap_or_default();
    format!("/api/apikeys/stats{query}")
}

fn render(answer: &Value, url: &str) -> String {
    let nothing = Value::Null;
    let totals = answer.get("stats").unwrap_or(&nothing);
    let count = |field| text(totals, field);
    let head = format!(
        "{url}: {} keys: {} healthy, {} degraded, {} rate-limited, {} unavailable; {} requests, {} errors\n\n",
        count("totalKeys"),
        count("healthyKeys"),
        count("degradedKeys"),
        count("rateLimitedKeys"),
        count("unavailableKeys"),
        count("totalRequests"),
        count("totalErrors"),
    );
    let mut table = Table::new(&[
        "PROVIDER",
        "KEY",
        "NAME",
        "STATE",
        "SCORE",
        "SHARE",
        "REQUESTS",
        "ERRORS",
        "LAST USED",
        "LIMITED UNTIL",
    ]);
    let colours = takes_colours();
    let utilization = totals.get("keyUtilization").unwrap_or(&nothing);
    for (provider, key) in keys(answer.get("health").unwrap_or(&nothing)) {
        let enabled = key.get("enabled").and_then(Value::as_bool).unwrap_or(true);
        let state = coloured_state(&text(key, "health"), colours);
        table.row(vec![
            provider.to_owned(),
            text(key, "key"),
            text(key, "name"),
            if enabled {
                state
            } else {
                "disabled".to_owned()
            },
            text(key, "healthScore"),
            share(utilization, &text(key, "key")),
            text(key, "requestCount"),
            text(key, "errorCount"),
            text(key, "lastUsed"),
            text(key, "rateLimitedUntil"),
        ]);
    }
    head + &table.render()
}

fn share(utilization: &Value, mask: &str) -> String {
    let percent = utilization.get(mask).and_then(Value::as_f64);
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %"))
}
