//! What is measured besides the pools' own counts, how it is shown, and the names that logs use.

mod census;
mod defence;
mod events;
mod exposition;
mod measurements;
mod scrape;
mod trace;

pub(crate) use census::{KeyView, ProviderView, census};
pub(crate) use defence::{Closed, Defence};
pub(crate) use events::{Alert, Event, Events, Subscription};
pub(crate) use exposition::render_metrics;
pub(crate) use measurements::{GatewayMeasurements, ProviderMeasurements};

/// Log target of everything about the pool; such lines carry the prefix `[API-KEY-POOL]`.
pub(crate) const POOL_LOG: &str = "keypool::pool";
pub(crate) use trace::{TraceSubscription, Traces};
