//! `keypool check` and `keypool schema`.

use keypool_gateway::GatewayConfig;

use super::args::ConfigArgs;
use super::{ENVIRONMENT, Failure, output};
use crate::config;

/// Checks the configuration and says what it amounts to.
pub(super) fn check(args: &ConfigArgs) -> Result<(), Failure> {
    let path = config::locate(args.config.as_deref(), ENVIRONMENT)?;
    let loaded = config::load(&path, ENVIRONMENT)?;
    for warning in &loaded.warnings {
        output::complain(&format!("{}:{warning}", path.display()));
    }
    output::say(&format!(
        "{}: fine, {}",
        path.display(),
        summary(&loaded.gateway)
    ));
    Ok(())
}

/// Prints the schema of the configuration.
pub(super) fn print_schema() {
    output::say(&format!("{:#}", config::schema()));
}

fn summary(gateway: &GatewayConfig) -> String {
    let providers = gateway.providers.iter().map(|provider| {
        let count = provider.keys.len();
        let keys = if count == 1 { "key" } else { "keys" };
        format!(
            "{} with {count} {keys} ({})",
            provider.name, provider.strategy
        )
    });
    providers.collect::<Vec<_>>().join(", ")
}
