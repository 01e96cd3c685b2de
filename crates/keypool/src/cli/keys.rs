//! `keypool keys`: the keys of a running gateway.

use std::io::{BufRead, IsTerminal, Read};

use keypool_gateway::Secret;
use serde_json::{Map, Value, json};

use super::args::{AddArgs, KeyArgs, KeysArgs, KeysCommand};
use super::remote::{Remote, text};
use super::{ENVIRONMENT, Failure, output, status};

/// Most bytes of standard input that are read for a key.
const KEY_BYTES: u64 = 64 * 1024;

/// Lists or changes keys.
pub(super) fn keys(args: KeysArgs) -> Result<(), Failure> {
    match args.command {
        KeysCommand::List(args) => status::list(&args),
        KeysCommand::Add(args) => add(&args),
        KeysCommand::Remove(args) => remove(&args),
        KeysCommand::Enable(args) => set_enabled(&args, true),
        KeysCommand::Disable(args) => set_enabled(&args, false),
    }
}

fn add(args: &AddArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let secret = read_key(args.key_env.as_deref())?;
    let answer = remote.post("/api/apikeys/add", &Value::Object(new_key(args, &secret)))?;
    remote.print(&answer, |_| {
        format!(
            "{} ({}) is added to {}\n",
            secret.mask(),
            secret.id(),
            args.provider
        )
    });
    Ok(())
}

fn new_key(args: &AddArgs, secret: &Secret) -> Map<String, Value> {
    let mut limits = Map::new();
    for (name, limit) in [
        ("requestsPerMinute", args.requests_per_minute),
        ("tokensPerMinute", args.tokens_per_minute),
        ("requestsPerDay", args.requests_per_day),
    ] {
        limits.extend(limit.map(|limit| (name.to_owned(), limit.into())));
    }
    let mut key = Map::new();
    let mut set =
        |name: &str, value: Option<Value>| key.extend(value.map(|value| (name.to_owned(), value)));
    set("provider", Some(args.provider.as_str().into()));
    set("key", Some(secret.expose().into()));
    set("enabled", Some((!args.disabled).into()));
    set("name", args.name.as_deref().map(Value::from));
    set("quotaGroup", args.quota_group.as_deref().map(Value::from));
    set("priority", args.priority.map(Value::from));
    set(
        "tags",
        (!args.tag.is_empty()).then(|| args.tag.clone().into()),
    );
    set(
        "models",
        (!args.model.is_empty()).then(|| args.model.clone().into()),
    );
    set(
        "rateLimit",
        (!limits.is_empty()).then_some(Value::Object(limits)),
    );
    key
}

fn remove(args: &KeyArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let key = find(&remote, args)?;
    let body = json!({ "provider": args.provider, "id": text(&key, "id") });
    let answer = remote.post("/api/apikeys/remove", &body)?;
    remote.print(&answer, |_| {
        format!(
            "{} ({}) is removed from {}\n",
            text(&key, "key"),
            text(&key, "id"),
            args.provider
        )
    });
    Ok(())
}

fn set_enabled(args: &KeyArgs, enabled: bool) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let key = find(&remote, args)?;
    let id = text(&key, "id");
    let answer = remote.patch(
        &format!("/api/apikeys/{id}"),
        &json!({ "enabled": enabled }),
    )?;
    let state = if enabled { "enabled" } else { "disabled" };
    remote.print(&answer, |_| {
        format!("{} ({id}) is {state}\n", text(&key, "key"))
    });
    Ok(())
}

/// The one key of the provider with that id, name or mask.
fn find(remote: &Remote, args: &KeyArgs) -> Result<Value, Failure> {
    let health = status::health(remote, Some(&args.provider))?;
    let is_meant = |key: &Value| {
        ["id", "name", "key"]
            .iter()
            .any(|field| text(key, field) == args.key)
    };
    let found: Vec<_> = status::keys(&health)
        .filter(|(_, key)| is_meant(key))
        .collect();
    match found.as_slice() {
        [(_, key)] => Ok((*key).clone()),
        // What was typed is not repeated: it may be the key itself.
        [] => {
            let message = format!(
                "no key of {} has that id, name or mask; `keypool keys list` shows them",
                args.provider
            );
            Err(anyhow::anyhow!(message).into())
        }
        several => {
            let ids: Vec<_> = several.iter().map(|(_, key)| text(key, "id")).collect();
            Err(anyhow::anyhow!(
                "several keys are meant; name one by its id: {}",
                ids.join(", ")
            )
            .into())
        }
    }
}

fn read_key(variable: Option<&str>) -> Result<Secret, Failure> {
    let key = match variable {
        Some(name) => ENVIRONMENT(name)
            .ok_or_else(|| Failure::Usage(format!("the environment variable {name} is not set")))?,
        None => read_line()?,
    };
    match key.trim() {
        "" => Err(Failure::Usage("the key is empty".to_owned())),
        key => Ok(Secret::new(key)),
    }
}

fn read_line() -> Result<String, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        output::complain("The key, then Enter:");
    }
    let mut line = String::new();
    let mut bounded = std::io::BufReader::new(input.lock().take(KEY_BYTES));
    bounded
        .read_line(&mut line)
        .map_err(|error| Failure::Usage(format!("no key on standard input: {error}")))?;
    Ok(line)
}
