//! The metrics page, in the `OpenMetrics` text format that Prometheus reads.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::scrape::Scrape;
use crate::core::Core;

/// Everything measured, as `application/openmetrics-text; version=1.0.0`.
#[must_use]
pub(crate) fn render_metrics(core: &Core) -> String {
    let mut registry = Registry::with_prefix("keypool");
    registry.register_collector(Box::new(Scrape::take(core)));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        // Writing into a string does not fail; a half page would be taken for a whole one.
        Err(std::fmt::Error) => "# EOF\n".to_owned(),
    }
}
