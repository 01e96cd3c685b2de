//! State changes and alerts, for whoever listens.
//!
//! An alert that only went to the log would be gone for an operator who looks a minute later: the
//! latest ones are kept. Listeners get everything from the moment they subscribe; one that does not
//! keep up loses the oldest and is told how many, so that nobody can make the gateway's memory
//! grow.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keypool_pool::{AlertKind, BreakerChange, BreakerState, KeyState, Output};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use crate::limits;

/// The hub between the providers' drivers and the admin API.
#[derive(Debug)]
pub(crate) struct Events {
    alerts: Mutex<VecDeque<Alert>>,
    live: broadcast::Sender<Event>,
    places: Arc<Semaphore>,
    next: AtomicU64,
}

/// Something that happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Its state is another.
    Changed(Change),
    /// An operator should know.
    Alert(Alert),
    /// A circuit breaker's state is another.
    Breaker(BreakerChanged),
}

/// A circuit breaker's state before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BreakerChanged {
    /// Place among all events since the start.
    pub(crate) sequence: u64,
    /// RFC 3339.
    pub(crate) at: String,
    /// The provider.
    pub(crate) provider: String,
    /// The model; absent for the provider as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// What it was.
    pub(crate) from: &'static str,
    /// What it is.
    pub(crate) to: &'static str,
    /// Why, for people.
    pub(crate) reason: String,
}

/// A key's state before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change {
    /// Place among all events since the start.
    pub(crate) sequence: u64,
    /// RFC 3339.
    pub(crate) at: String,
    /// The key's provider.
    pub(crate) provider: String,
    /// The key, masked.
    pub(crate) key: String,
    /// The key's id.
    pub(crate) id: String,
    /// What it was.
    pub(crate) from: &'static str,
    /// What it is.
    pub(crate) to: &'static str,
    /// Why, for people.
    pub(crate) reason: String,
}

/// Something that an operator should know about a key or a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Alert {
    /// Place among all events since the start.
    pub(crate) sequence: u64,
    /// RFC 3339.
    pub(crate) at: String,
    /// The provider.
    pub(crate) provider: String,
    /// The key, masked; absent where it is about the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The key's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// What it is about: `key-invalid`, `most-keys-refused`, `not-served`, `out-of-credit`, `key-expired`,
    /// `health-low`, `limit-corrected`, `foreign-use`, `shared-quota` or `breaker-open`.
    pub(crate) kind: &'static str,
    /// What happened, for people.
    pub(crate) message: String,
}

/// A listener's place. Everything published while it is held can be received.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// Where events come out.
    pub(crate) receiver: broadcast::Receiver<Event>,
    _place: OwnedSemaphorePermit,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            alerts: Mutex::new(VecDeque::new()),
            live: broadcast::Sender::new(limits::EVENTS_BUFFERED),
            places: Arc::new(Semaphore::new(limits::EVENT_SUBSCRIBERS)),
            next: AtomicU64::new(0),
        }
    }
}

impl Events {
    /// Takes in what a pool put out. Probes are the driver's own business and are passed over.
    pub(crate) fn publish(&self, provider: &str, mask: &str, output: &Output) {
        let (provider, key) = (provider.to_owned(), mask.to_owned());
        let at = || format!("{:.3}", jiff::Timestamp::now());
        let event = match output {
            Output::Probe(_) => return,
            Output::BreakerChanged(change) => {
                if change.to == BreakerState::Open {
                    self.send(Event::Alert(self.breaker_alert(&provider, change)));
                }
                Event::Breaker(BreakerChanged {
                    sequence: self.next.fetch_add(1, Ordering::Relaxed),
                    at: at(),
                    provider,
                    model: change.model.clone(),
                    from: change.from.as_str(),
                    to: change.to.as_str(),
                    reason: change.reason.clone(),
                })
            }
            Output::StateChanged(change) => Event::Changed(Change {
                sequence: self.next.fetch_add(1, Ordering::Relaxed),
                at: at(),
                provider,
                key,
                id: change.key.to_string(),
                from: KeyState::as_str(change.from),
                to: KeyState::as_str(change.to),
                reason: change.reason.clone(),
            }),
            Output::Alert(alert) => Event::Alert(Alert {
                sequence: self.next.fetch_add(1, Ordering::Relaxed),
                at: at(),
                provider,
                key: Some(key),
                id: Some(alert.key.to_string()),
                kind: kind_name(alert.kind),
                message: alert.message.clone(),
            }),
        };
        self.send(event);
    }

    fn breaker_alert(&self, provider: &str, change: &BreakerChange) -> Alert {
        let of = change.model.as_deref().map_or_else(
            || "the provider".to_owned(),
            |model| format!("model {}", keypool_wire::excerpt(model)),
        );
        Alert {
            sequence: self.next.fetch_add(1, Ordering::Relaxed),
            at: format!("{:.3}", jiff::Timestamp::now()),
            provider: provider.to_owned(),
            key: None,
            id: None,
            kind: "breaker-open",
            message: format!("the circuit breaker of {of} is open: {}", change.reason),
        }
    }

    fn send(&self, event: Event) {
        if let Event::Alert(alert) = &event {
            let mut alerts = self.alerts.lock();
            if alerts.len() == limits::ALERTS_KEPT {
                alerts.pop_front();
            }
            alerts.push_back(alert.clone());
        }
        // An error only says that nobody listens.
        let _ = self.live.send(event);
    }

    /// The latest alerts, newest first.
    #[must_use]
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        self.alerts.lock().iter().rev().cloned().collect()
    }

    /// Listens from now on; `None` when there are as many listeners as are allowed.
    #[must_use]
    pub(crate) fn subscribe(&self) -> Option<Subscription> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(Subscription {
            receiver: self.live.subscribe(),
            _place: place,
        })
    }
}

fn kind_name(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::KeyInvalid => "key-invalid",
        AlertKind::OutOfCredit => "out-of-credit",
        AlertKind::KeyExpired => "key-expired",
        AlertKind::HealthLow => "health-low",
        AlertKind::LimitCorrected => "limit-corrected",
        AlertKind::ForeignUse => "foreign-use",
        AlertKind::SharedQuota => "shared-quota",
        AlertKind::MostKeysRefused => "most-keys-refused",
        AlertKind::NotServed => "not-served",
    }
}

#[cfg(test)]
mod tests {
    use keypool_pool::{KeyId, StateChange};

    use super::*;

    fn alert(number: usize) -> Output {
        Output::Alert(keypool_pool::Alert {
            key: KeyId::from_bits(7),
            kind: AlertKind::KeyInvalid,
            message: format!("alert {number}"),
        })
    }

    #[test]
    fn an_alert_reaches_those_who_listen_and_those_who_look_later() {
        // acceptance 81
        let events = Events::default();
        let mut listener = events.subscribe().unwrap();
        events.publish("anthropic", "sk-a****key1", &alert(1));
        let Ok(Event::Alert(heard)) = listener.receiver.try_recv() else {
            panic!("the listener heard nothing");
        };
        assert_eq!(events.alerts(), std::slice::from_ref(&heard));
        assert_eq!(
            (heard.kind, heard.key.as_deref()),
            ("key-invalid", Some("sk-a****key1"))
        );
        assert_eq!(heard.id.as_deref(), Some("key_000000000007"));
    }

    #[test]
    fn only_the_latest_alerts_are_kept_newest_first() {
        let events = Events::default();
        for number in 0..limits::ALERTS_KEPT + 5 {
            events.publish("p", "****", &alert(number));
        }
        let kept = events.alerts();
        assert_eq!(kept.len(), limits::ALERTS_KEPT);
        assert_eq!(
            kept[0].message,
            format!("alert {}", limits::ALERTS_KEPT + 4)
        );
        assert_eq!(kept.last().unwrap().message, "alert 5");
    }

    #[test]
    fn state_changes_are_heard_and_not_kept_as_alerts_and_probes_are_passed_over() {
        let events = Events::default();
        let mut listener = events.subscribe().unwrap();
        let key = KeyId::from_bits(7);
        let (from, to) = (KeyState::Healthy, KeyState::RateLimited);
        let change = StateChange {
            key,
            from,
            to,
            reason: "429".to_owned(),
        };
        events.publish("p", "****", &Output::Probe(key));
        events.publish("p", "****", &Output::StateChanged(change));
        let Ok(Event::Changed(heard)) = listener.receiver.try_recv() else {
            panic!("the listener heard nothing");
        };
        assert_eq!((heard.from, heard.to), ("healthy", "rate-limited"));
        assert!(events.alerts().is_empty());
    }

    #[test]
    fn listeners_are_bounded_and_a_place_is_given_back() {
        let events = Events::default();
        let mut places: Vec<_> = (0..limits::EVENT_SUBSCRIBERS)
            .map(|_| events.subscribe().unwrap())
            .collect();
        assert!(events.subscribe().is_none());
        places.pop();
        assert!(events.subscribe().is_some());
    }
}
