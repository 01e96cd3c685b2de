//! One look at everything, written as metrics.
//!
//! The pools count; copying their counts into counters of a metrics library on each request would
//! cost the hot path for the sake of a page that is read a few times a minute.

use std::fmt;
use std::sync::atomic::Ordering;

use keypool_pool::{BreakerSnapshot, BreakerState, KeySnapshot, KeyState};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use super::census::{KeyView, ProviderView, census};
use crate::core::Core;

/// All that one metrics page shows.
#[derive(Debug)]
pub(super) struct Scrape {
    providers: Vec<ProviderView>,
    answers: [(&'static str, u64); 4],
    time_to_answer: Histogram,
    streams_open: u64,
    connections_opened: u64,
    clients: Clients,
}

/// Clients' connections and requests, and what was refused and closed.
#[derive(Debug)]
struct Clients {
    connections_open: u64,
    connections_closed: Vec<(&'static str, u64)>,
    requests_refused: [(&'static str, u64); 2],
    body_bytes: usize,
}

const STATES: [KeyState; 4] = [
    KeyState::Healthy,
    KeyState::Degraded,
    KeyState::RateLimited,
    KeyState::Unavailable,
];

impl Scrape {
    pub(super) fn take(core: &Core) -> Self {
        let live = core.live();
        // One census per provider: names need only differ within one.
        let one = |provider| census(std::slice::from_ref(provider));
        let measurements = &core.measurements;
        let answers = &measurements.answers;
        Self {
            providers: live.providers().iter().flat_map(one).collect(),
            answers: [
                ("success", answers.success.load(Ordering::Relaxed)),
                ("client_error", answers.client_error.load(Ordering::Relaxed)),
                ("no_room", answers.no_room.load(Ordering::Relaxed)),
                ("failed", answers.failed.load(Ordering::Relaxed)),
            ],
            time_to_answer: measurements.time_to_answer.clone(),
            streams_open: measurements.streams_open.load(Ordering::Relaxed),
            connections_opened: measurements.connections_opened.load(Ordering::Relaxed),
            clients: Clients {
                connections_open: measurements.defence.open(),
                connections_closed: measurements.defence.closed().collect(),
                requests_refused: [
                    ("overload", measurements.defence.refused_requests()),
                    ("memory", core.bodies.refused()),
                ],
                body_bytes: core.bodies.held(),
            },
        }
    }

    fn keys(&self) -> impl Iterator<Item = (&ProviderView, &KeyView)> {
        self.providers
            .iter()
            .flat_map(|provider| provider.keys.iter().map(move |key| (provider, key)))
    }

    /// Series of every key: `rows` gives the further label's value and the number.
    fn per_key<'a, I: IntoIterator<Item = (L, N)>, L: ToString, N>(
        &'a self,
        label: &'static str,
        rows: impl Fn(&'a ProviderView, &'a KeyView) -> I,
    ) -> impl Iterator<Item = ([(&'static str, String); 3], N)> {
        self.keys().flat_map(move |(provider, key)| {
            let series: Vec<_> = rows(provider, key)
                .into_iter()
                .map(|(value, number)| {
                    let [name, mask] = key_labels(provider, key);
                    ([name, mask, (label, value.to_string())], number)
                })
                .collect();
            series
        })
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        counters(
            encoder,
            "requests",
            "Attempts with a key, by outcome",
            self.per_key("outcome", |_, key| outcomes(&key.now)),
        )?;
        counters(
            encoder,
            "upstream_responses",
            "Answers of the provider, by HTTP status",
            self.per_key("status", |_, key| key.upstream.statuses.lock().clone()),
        )?;
        counters(
            encoder,
            "tokens",
            "Tokens as the provider counted them, by kind; guessed where it did not say",
            self.per_key("kind", |_, key| tokens(&key.now)),
        )?;
        counters(
            encoder,
            "tokens_estimated",
            "Those of the tokens that are guesses, since the provider never stated them, by kind",
            self.per_key("kind", |_, key| {
                let (input, output) = *key.upstream.guessed_tokens.lock();
                [("input", input), ("output", output)]
            }),
        )?;
        gauges(
            encoder,
            "requests_in_flight",
            "Attempts under way",
            self.keys()
                .map(|(provider, key)| (key_labels(provider, key), key.now.in_flight)),
        )
    }

    fn encode_keys(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let states = |_: &ProviderView, key: &KeyView| {
            let now = key.now.state;
            STATES.map(|state| (state.as_str(), u32::from(state == now)))
        };
        gauges(
            encoder,
            "key_state",
            "1 for the state that the key is in, 0 for the others",
            self.per_key("state", states),
        )?;
        gauges(
            encoder,
            "key_enabled",
            "Whether the key may be selected by its configuration",
            self.keys().map(|(provider, key)| {
                (key_labels(provider, key), u32::from(key.now.config.enabled))
            }),
        )?;
        gauges(
            encoder,
            "key_health_score",
            "Health of the key, 0 to 100",
            self.keys().map(|(provider, key)| {
                (key_labels(provider, key), u32::from(key.now.health_score))
            }),
        )
    }

    fn encode_limits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of_keys = || {
            self.keys().flat_map(|(provider, key)| {
                key.now.meters.iter().map(move |meter| {
                    let [name, mask] = key_labels(provider, key);
                    let [dimension, class] = meter_labels(meter);
                    ([name, mask, dimension, class], meter)
                })
            })
        };
        gauges(
            encoder,
            "limit_remaining",
            "What is left of a key's limit, in requests or tokens; negative when overdrawn",
            of_keys().map(|(labels, meter)| (labels, meter.remaining)),
        )?;
        gauges(
            encoder,
            "limit_utilization_ratio",
            "Share of a key's limit that is used or reserved",
            of_keys().map(|(labels, meter)| (labels, meter_ratio(meter))),
        )?;
        let groups = || {
            self.providers.iter().flat_map(|provider| {
                provider.groups.iter().flat_map(move |group| {
                    group.meters.iter().map(move |meter| {
                        let [dimension, class] = meter_labels(meter);
                        let labels = [
                            ("provider", provider.provider.name.clone()),
                            ("group", group.name.clone()),
                            dimension,
                            class,
                        ];
                        (labels, meter)
                    })
                })
            })
        };
        gauges(
            encoder,
            "group_limit_remaining",
            "What is left of a quota group's limit, in requests or tokens",
            groups().map(|(labels, meter)| (labels, meter.remaining)),
        )?;
        gauges(
            encoder,
            "group_limit_utilization_ratio",
            "Share of a quota group's limit that is used or reserved",
            groups().map(|(labels, meter)| (labels, meter_ratio(meter))),
        )
    }

    fn encode_providers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let label = |provider: &ProviderView| [("provider", provider.provider.name.clone())];
        histograms(
            encoder,
            "request_duration_seconds",
            "Attempts from their beginning to the end of the answer",
            self.providers.iter().map(|provider| {
                (
                    label(provider),
                    &provider.provider.measurements.request_duration,
                )
            }),
        )?;
        histograms(
            encoder,
            "time_to_first_byte_seconds",
            "Attempts from their beginning until the answer could begin",
            self.providers
                .iter()
                .map(|provider| (label(provider), &provider.provider.measurements.first_byte)),
        )?;
        histograms(
            encoder,
            "queue_wait_seconds",
            "Requests that waited for room, until they got it or gave up",
            self.providers
                .iter()
                .map(|provider| (label(provider), &provider.provider.measurements.queue_wait)),
        )?;
        gauges(
            encoder,
            "queue_length",
            "Requests that wait for room",
            self.providers
                .iter()
                .map(|provider| (label(provider), provider.queued)),
        )?;
        gauges(
            encoder,
            "breaker_state",
            "Circuit breakers: 0 closed, 1 half-open, 2 open; of a model only while it has trouble",
            self.providers.iter().flat_map(|provider| {
                let breakers = provider.breakers.iter();
                breakers.map(|breaker| (breaker_labels(provider, breaker), level(breaker.state)))
            }),
        )?;
        gauges(
            encoder,
            "estimate_error_ratio",
            "How far estimates of input tokens are off, as a share of what the provider counted",
            self.providers
                .iter()
                .filter_map(|provider| Some((label(provider), provider.estimate_error?))),
        )?;
        counters(
            encoder,
            "failovers",
            "Attempts that followed one that failed, by the failure's code",
            self.providers.iter().flat_map(|provider| {
                let failovers = provider.provider.measurements.failovers.lock().clone();
                failovers.into_iter().map(move |(reason, count)| {
                    (
                        [
                            ("provider", provider.provider.name.clone()),
                            ("reason", reason),
                        ],
                        count,
                    )
                })
            }),
        )
    }

    fn encode_gateway(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        counters(
            encoder,
            "client_answers",
            "Answers to clients: success, client_error (4xx), no_room (429), failed (5xx)",
            self.answers
                .map(|(outcome, count)| ([("outcome", outcome)], count)),
        )?;
        let help = "From a client's request until the head of its answer was ready";
        let metric = encoder.encode_descriptor(
            "client_time_to_answer_seconds",
            help,
            None,
            MetricType::Histogram,
        )?;
        self.time_to_answer.encode(metric)?;
        let metric = encoder.encode_descriptor(
            "streams_open",
            "Streams being relayed",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.streams_open).encode(metric)?;
        let metric = encoder.encode_descriptor(
            "upstream_connections_opened",
            "Upstream connections opened since the start",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(self.connections_opened).encode(metric)?;
        gauges(
            encoder,
            "build_info",
            "Always 1; the label tells the version",
            [([("version", env!("CARGO_PKG_VERSION"))], 1_u32)],
        )
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_requests(&mut encoder)?;
        self.encode_keys(&mut encoder)?;
        self.encode_limits(&mut encoder)?;
        self.encode_providers(&mut encoder)?;
        self.encode_gateway(&mut encoder)?;
        self.clients.encode(&mut encoder)
    }
}

impl Clients {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Connections of clients that are open";
        let metric =
            encoder.encode_descriptor("client_connections", help, None, MetricType::Gauge)?;
        ConstGauge::new(self.connections_open).encode(metric)?;
        counters(
            encoder,
            "client_connections_closed",
            "Connections of clients that the gateway closed, by reason",
            self.connections_closed
                .iter()
                .map(|&(reason, count)| ([("reason", reason)], count)),
        )?;
        counters(
            encoder,
            "requests_refused",
            "Requests refused because the gateway had too much to do or to hold",
            self.requests_refused
                .map(|(reason, count)| ([("reason", reason)], count)),
        )?;
        let help = "Memory that the bodies of requests take, with what goes with each";
        let metric =
            encoder.encode_descriptor("request_body_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(u64::try_from(self.body_bytes).unwrap_or(u64::MAX)).encode(metric)
    }
}

fn key_labels(provider: &ProviderView, key: &KeyView) -> [(&'static str, String); 2] {
    [
        ("provider", provider.provider.name.clone()),
        ("key", key.mask.clone()),
    ]
}

/// What a meter counts, and of which models: of those that have no meter of their own, of a class, or of
/// the one class that a provider has for all.
fn meter_labels(meter: &keypool_pool::MeterSnapshot) -> [(&'static str, String); 2] {
    let class = match meter.model_class.as_deref() {
        None => "",
        Some("") => "all",
        Some(class) => class,
    };
    [
        ("dimension", meter.dimension.to_string()),
        ("model_class", class.to_owned()),
    ]
}

fn breaker_labels(
    provider: &ProviderView,
    breaker: &BreakerSnapshot,
) -> [(&'static str, String); 2] {
    let model = breaker.model.as_deref().map(keypool_wire::excerpt);
    [
        ("provider", provider.provider.name.clone()),
        ("model", model.unwrap_or_default()),
    ]
}

const fn level(state: BreakerState) -> u32 {
    match state {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Open => 2,
    }
}

fn outcomes(key: &KeySnapshot) -> [(&'static str, u64); 13] {
    let classes = &key.errors_by_class;
    [
        ("success", key.successes),
        ("server_error", classes.server_error),
        ("timeout", classes.timeout),
        ("unreachable", classes.unreachable),
        ("reset", classes.reset),
        ("garbage", classes.garbage),
        ("overloaded", classes.overloaded),
        ("rate_limited", classes.rate_limited),
        ("invalid", classes.invalid),
        ("out_of_credit", classes.out_of_credit),
        ("model_denied", classes.model_denied),
        ("client_error", classes.client_error),
        ("cancelled", classes.cancelled),
    ]
}

fn tokens(key: &KeySnapshot) -> [(&'static str, u64); 4] {
    [
        ("input", key.usage.input_tokens),
        ("output", key.usage.output_tokens),
        ("cache_read", key.usage.cache_read_tokens),
        ("cache_write", key.usage.cache_write_tokens),
    ]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio is shown, not counted with"
)]
fn meter_ratio(meter: &keypool_pool::MeterSnapshot) -> f64 {
    meter.used.saturating_add(meter.reserved) as f64 / meter.limit.max(1) as f64
}

fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in series {
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges<L: EncodeLabelSet, N>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (L, N)>,
) -> fmt::Result
where
    ConstGauge<N>: EncodeMetric,
{
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn histograms<'a, L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (L, &'a Histogram)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, histogram) in series {
        histogram.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
