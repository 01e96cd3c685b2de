//! From a path to a configuration that the gateway can run on.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keypool_gateway::config::{
    AffinityConfig, Bounds, GatewayConfig, NetworkConfig, QueueConfig, RetryConfig, Timeouts,
};

use super::checker::Checker;
use super::document::{self, Node};
use super::file::{
    AffinityFile, BoundsFile, ConfigFile, LogLevel, QueueFile, RetryFile, TimeoutsFile,
};
use super::path::FieldPath;
use super::problem::{LoadError, Problem};
use super::references::Environment;
use super::validate::validate;
use super::{addresses, not_in_effect, providers, routing, schema, tenants};

/// Largest configuration file: 100,000 keys with all their fields fit.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// A configuration, ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// The file it came from.
    pub path: PathBuf,
    /// What the gateway runs on.
    pub gateway: GatewayConfig,
    /// What is allowed and yet worth a word.
    pub warnings: Vec<Problem>,
    /// How much the file wants logged.
    pub log_level: Option<LogLevel>,
    /// Every file whose change is a change of the configuration, the file itself first.
    pub sources: Vec<PathBuf>,
}

/// Reads a configuration file.
pub fn load(path: &Path, environment: Environment<'_>) -> Result<Loaded, LoadError> {
    let text = read(path)?;
    let invalid = |problems| LoadError::Invalid {
        path: path.to_owned(),
        problems,
    };
    let root = document::parse(&text).map_err(invalid)?;
    let validated = validate(&schema(), &root);
    let file = match validated.value.map(serde_json::from_value::<ConfigFile>) {
        Some(Ok(file)) => file,
        None => return Err(invalid(validated.problems)),
        // The schema is derived from these very types, so only a type with a rule of its own can get
        // here. The reason is left out, since it quotes the value.
        Some(Err(_)) => {
            let message = "fits the schema and can still not be read".to_owned();
            let problem = Problem::new(root.at, FieldPath::default(), message);
            return Err(invalid(
                validated.problems.into_iter().chain([problem]).collect(),
            ));
        }
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut checker = Checker::new(&root, directory, environment, validated.problems);
    let log_level = log_level(&file);
    let gateway = gateway_config(file, &mut checker, path);
    let findings = checker.finish();
    if !findings.problems.is_empty() {
        return Err(invalid(findings.problems));
    }
    let sources = std::iter::once(path.to_owned())
        .chain(findings.files)
        .collect();
    Ok(Loaded {
        path: path.to_owned(),
        gateway,
        warnings: findings.warnings,
        log_level,
        sources,
    })
}

/// Reads a configuration file as a tree, for the few commands that need no more than an address.
pub(super) fn read_tree(path: &Path) -> Result<Node, LoadError> {
    let text = read(path)?;
    document::parse(&text).map_err(|problems| LoadError::Invalid {
        path: path.to_owned(),
        problems,
    })
}

/// Reads a file in JSON5 that is no configuration of keypool's.
pub fn read_json5(path: &Path) -> Result<serde_json::Value, LoadError> {
    Ok(read_tree(path)?.to_json())
}

fn read(path: &Path) -> Result<String, LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(unreadable(format!("it is larger than {FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        unreadable(format!(
            "it is not UTF-8 (byte {})",
            error.utf8_error().valid_up_to()
        ))
    })
}

fn gateway_config(file: ConfigFile, checker: &mut Checker<'_>, path: &Path) -> GatewayConfig {
    not_in_effect::check(&file, checker);
    let access = addresses::access(&file, checker);
    let tenants = tenants::tenants(&file.tenants, &access, checker);
    let network = network(&file, checker);
    let known_hosts = known_hosts(file.known_hosts, checker);
    let state_file = file
        .state_file
        .as_deref()
        .map_or_else(|| state_file(path), |text| checker.path(text));
    let pool = file.api_key_pool.unwrap_or_default();
    let pool_present = checker.root.get(&FieldPath::of(&["ApiKeyPool"])).is_some();
    let pooling = pool_present && pool.enabled;
    let providers = providers::providers(&pool, pooling, &file.providers, checker);
    let routes = routing::routes(
        file.router,
        file.fallback,
        file.aliases,
        &providers,
        checker,
    );
    GatewayConfig {
        listen: access.listen,
        client_key: access.client_key,
        tenants,
        admin: access.admin,
        known_hosts,
        health_check_interval: Duration::from_millis(pool.health_check_interval),
        queue: queue(&pool.queue),
        affinity: affinity(&pool.affinity),
        retry: retry(&pool.retry),
        timeouts: timeouts(&pool.timeouts, file.api_timeout_ms),
        bounds: bounds(&file.bounds),
        network,
        answer_headers: file.answer_headers,
        providers: providers.ready,
        router: routes.router,
        aliases: routes.aliases,
        state_file: Some(state_file),
        seed: file.seed.unwrap_or_else(random_seed),
    }
}

fn network(file: &ConfigFile, checker: &mut Checker<'_>) -> NetworkConfig {
    let own = (
        file.network.proxy.as_ref(),
        FieldPath::of(&["Network", "proxy"]),
    );
    let borrowed = (file.proxy_url.as_ref(), FieldPath::of(&["PROXY_URL"]));
    let (text, field) = if own.0.is_some() { own } else { borrowed };
    let proxy = text.and_then(|text| checker.text(&text.0, &field));
    let is_usable = |proxy: &String| {
        let uri = proxy.parse::<http::Uri>();
        uri.is_ok_and(|uri| {
            uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty())
        })
    };
    if proxy.as_ref().is_some_and(|proxy| !is_usable(proxy)) {
        // Not shown: it may hold a password.
        checker.error(
            &field,
            "is not a proxy's URL: expected http://[user:password@]host:port",
        );
    }
    let ca_file = file
        .network
        .ca_file
        .as_deref()
        .map(|text| checker.path(text));
    if let Some(path) = &ca_file {
        if let Err(error) = File::open(path) {
            let message = format!("the file {} cannot be read: {error}", path.display());
            checker.error(&FieldPath::of(&["Network", "caFile"]), message);
        }
        checker.depends_on(path.clone());
    }
    NetworkConfig { ca_file, proxy }
}

fn known_hosts(names: Vec<String>, checker: &mut Checker<'_>) -> Vec<String> {
    let field = FieldPath::of(&["KnownHosts"]);
    for (index, name) in names.iter().enumerate() {
        let is_name = !name.is_empty()
            && name.chars().all(|c| {
                c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':')
            });
        if !is_name {
            let message =
                format!("{name:?} is not a host name: write it without scheme, path and spaces");
            checker.error(&field.index(index), message);
        }
    }
    names
}

fn queue(file: &QueueFile) -> QueueConfig {
    // The schema has held them to what every machine's word holds, or to more than its memory.
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    QueueConfig {
        enabled: file.enabled,
        max_wait: Duration::from_millis(file.max_wait),
        keep_alive: file.keep_alive.map(Duration::from_millis),
        max_length: count(file.max_length),
        max_bytes: count(file.max_bytes),
    }
}

fn affinity(file: &AffinityFile) -> AffinityConfig {
    AffinityConfig {
        enabled: file.enabled,
        ttl: Duration::from_millis(file.ttl),
        load_factor: file.load_factor,
    }
}

fn retry(file: &RetryFile) -> RetryConfig {
    let default = RetryConfig::default();
    RetryConfig {
        max_attempts: file.max_attempts.and_then(NonZeroU32::new),
        max_replays: file.max_replays,
        deadline: file
            .deadline
            .map_or(default.deadline, Duration::from_millis),
    }
}

fn timeouts(file: &TimeoutsFile, api_timeout_ms: Option<u64>) -> Timeouts {
    let default = Timeouts::default();
    let or = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
    Timeouts {
        connect: or(file.connect, default.connect),
        first_byte: or(file.first_byte.or(api_timeout_ms), default.first_byte),
        idle: or(file.idle, default.idle),
        total: or(file.total, default.total),
        client_head: or(file.client_head, default.client_head),
        client_body: or(file.client_body, default.client_body),
        client_idle: or(file.client_idle, default.client_idle),
        drain: or(file.drain, default.drain),
    }
}

fn bounds(file: &BoundsFile) -> Bounds {
    let default = Bounds::default();
    let or = |given: Option<u64>, default| {
        given.map_or(default, |given| {
            usize::try_from(given).unwrap_or(usize::MAX)
        })
    };
    let body_bytes = or(file.body_bytes, default.body_bytes);
    let in_flight = or(file.body_bytes_in_flight, default.body_bytes_in_flight);
    Bounds {
        body_bytes,
        // The largest body that is allowed must fit.
        body_bytes_in_flight: in_flight.max(body_bytes),
        connections: or(file.connections, default.connections),
        delay: file.delay.map_or(default.delay, Duration::from_millis),
    }
}

fn log_level(file: &ConfigFile) -> Option<LogLevel> {
    match file.log {
        Some(false) => Some(LogLevel::Error),
        Some(true) | None => file.log_level,
    }
}

/// Beside the configuration, so that a backup of the one takes the other along.
fn state_file(config: &Path) -> PathBuf {
    let name = config
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let stem = [".json", ".json5", ".jsonc"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending));
    config.with_file_name(format!("{}.state.json", stem.unwrap_or(&name)))
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_file_stands_beside_the_configuration() {
        assert_eq!(
            state_file(Path::new("/etc/k/config.json")),
            Path::new("/etc/k/config.state.json")
        );
        assert_eq!(
            state_file(Path::new("keypool.prod")),
            Path::new("keypool.prod.state.json")
        );
    }
}
