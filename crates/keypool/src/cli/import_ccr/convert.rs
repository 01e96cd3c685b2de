//! The old file field by field.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::notes::Notes;
use super::references::{is_reference, settled};
use super::written::NewConfig;
use super::{providers, routes};
use crate::config::Environment;

/// Where claude-code-router looks for a proxy, in its order.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "httpsProxy", "PROXY_URL"];

/// Levels that keypool knows.
const LEVELS: [&str; 6] = ["fatal", "error", "warn", "info", "debug", "trace"];

/// Most milliseconds that keypool waits for a first byte: a day.
const TIMEOUT_MS: u64 = 86_400_000;

/// Fields that have no equal, and why.
const LOST: [(&str, &str); 9] = [
    (
        "CUSTOM_ROUTER_PATH",
        "keypool runs no scripts; Router and Aliases say where requests go",
    ),
    (
        "transformers",
        "keypool runs no scripts; it translates between APIs by itself",
    ),
    ("plugins", "keypool runs no plugins"),
    ("Plugins", "keypool runs no plugins"),
    (
        "StatusLine",
        "`keypool status` shows what the keys are doing",
    ),
    ("REWRITE_SYSTEM_PROMPT", "keypool does not change prompts"),
    (
        "forceUseImageAgent",
        "keypool runs no tools of its own; Router.image says where images go",
    ),
    (
        "NON_INTERACTIVE_MODE",
        "`keypool code` passes the terminal on as it is",
    ),
    ("fallback", "keypool has no such section"),
];

/// Makes the new configuration, and notes what is not in it.
pub(super) fn convert(old: &Value, environment: Environment<'_>, notes: &mut Notes) -> NewConfig {
    let empty = Map::new();
    let old = old.as_object().unwrap_or(&empty);
    let entries = ["Providers", "providers"]
        .iter()
        .find_map(|name| old.get(*name));
    let entries = entries
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let taken = providers::take(entries, environment, notes);
    let api_key = text(old, "APIKEY").map(|key| settled(key, environment).0);
    let section = |name| old.get(name).and_then(Value::as_object).unwrap_or(&empty);
    let mut new = NewConfig {
        host: host(old, api_key.is_some(), notes),
        port: number(old, "PORT", notes).and_then(|port| fitting(port, "PORT", notes)),
        log: old.get("LOG").and_then(Value::as_bool),
        log_level: log_level(old, notes),
        proxy_url: proxy(old, environment, notes),
        api_timeout_ms: number(old, "API_TIMEOUT_MS", notes).map(|time| time.clamp(1, TIMEOUT_MS)),
        router: routes::router(section("Router"), &taken, notes),
        ..NewConfig::default()
    };
    let has_fallback = routes::is_section("fallback");
    if has_fallback {
        new.fallback = routes::fallback(section("fallback"), &new.router, &taken, notes);
    }
    new.api_key = api_key;
    new.providers = taken.providers;
    for (name, value) in old {
        let is_empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(elements) => elements.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Bool(flag) => !flag,
            Value::Number(_) => false,
        };
        let taken_care_of = [
            "Providers",
            "providers",
            "Router",
            "APIKEY",
            "HOST",
            "PORT",
            "LOG",
            "LOG_LEVEL",
            "API_TIMEOUT_MS",
        ];
        if is_empty
            || taken_care_of.contains(&name.as_str())
            || PROXY.contains(&name.as_str())
            || (has_fallback && name == "fallback")
        {
            continue;
        }
        let why = LOST.iter().find(|(known, _)| known == name);
        notes.lost(
            name,
            why.map_or("keypool has no such field", |(_, why)| why),
        );
    }
    new
}

/// A text that is there and not empty.
fn text<'a>(old: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = old.get(name)?.as_str()?.trim();
    (!text.is_empty()).then_some(text)
}

/// A number, which may be written as a text.
fn number(old: &Map<String, Value>, name: &str, notes: &mut Notes) -> Option<u64> {
    let value = old.get(name).filter(|value| !value.is_null())?;
    let number = value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok());
    if number.is_none() {
        notes.lost(name, "it is no whole number");
    }
    number
}

fn fitting(port: u64, name: &str, notes: &mut Notes) -> Option<u16> {
    let port = u16::try_from(port).ok();
    if port.is_none() {
        notes.lost(name, "it is no port");
    }
    port
}

fn host(old: &Map<String, Value>, has_key: bool, notes: &mut Notes) -> Option<String> {
    let host = text(old, "HOST")?;
    let address = if host.eq_ignore_ascii_case("localhost") {
        Some(IpAddr::from([127, 0, 0, 1]))
    } else {
        host.parse::<IpAddr>().ok()
    };
    match address {
        None => {
            notes.lost("HOST", "it is no IP address");
            None
        }
        Some(address) if address.is_loopback() || has_key => Some(host.to_owned()),
        Some(_) => {
            notes.changed(
                "HOST",
                "without an APIKEY only this machine is served, as by claude-code-router",
            );
            None
        }
    }
}

fn log_level(old: &Map<String, Value>, notes: &mut Notes) -> Option<String> {
    let level = text(old, "LOG_LEVEL")?.to_lowercase();
    if LEVELS.contains(&level.as_str()) {
        return Some(level);
    }
    notes.lost(
        "LOG_LEVEL",
        format!("expected one of {}", LEVELS.join(", ")),
    );
    None
}

fn proxy(
    old: &Map<String, Value>,
    environment: Environment<'_>,
    notes: &mut Notes,
) -> Option<String> {
    let (name, url) = PROXY
        .iter()
        .find_map(|name| text(old, name).map(|url| (*name, url)))?;
    let (url, _) = settled(url, environment);
    if url.starts_with("http://") || is_reference(&url) {
        Some(url)
    } else {
        notes.lost(name, "keypool goes through http:// proxies alone");
        None
    }
}
