//! `GET /api/alerts` and `GET /api/events`: what happened to keys, looked up or as it happens.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use http::StatusCode;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;

use super::envelope::{Answer, ApiError, Failure, Success};
use crate::core::Core;
use crate::limits;
use crate::telemetry::{Alert, Event, Subscription};

/// The latest alerts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alerts {
    /// Newest first.
    alerts: Vec<Alert>,
}

/// A listener fell behind.
#[derive(Debug, Serialize)]
struct Lagged {
    missed: u64,
}

/// The latest alerts, newest first.
#[utoipa::path(
    get, path = "/api/alerts", tag = "events",
    responses((status = 200, body = Success<Alerts>)),
)]
pub(super) async fn alerts(State(core): State<Arc<Core>>) -> Answer<Alerts> {
    Ok(Success::ok(Alerts {
        alerts: core.measurements.events().alerts(),
    }))
}

/// State changes of keys (`state`) and of circuit breakers (`breaker`), and alerts (`alert`), as server-sent
/// events from now on. A listener that
/// does not keep up gets `lagged` with the number of events it missed.
#[utoipa::path(
    get, path = "/api/events", tag = "events",
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 503, body = Failure, description = "Too many listeners"),
    ),
)]
pub(super) async fn events(
    State(core): State<Arc<Core>>,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, ApiError> {
    let Some(subscription) = core.measurements.events().subscribe() else {
        let message = format!(
            "{} listeners are all there may be",
            limits::EVENT_SUBSCRIBERS
        );
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_listeners",
            message,
        ));
    };
    let stream = unfold(
        (core, subscription),
        |(core, mut subscription)| async move {
            let event = next(&core, &mut subscription).await?;
            Some((Ok(event), (core, subscription)))
        },
    );
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(limits::EVENT_KEEP_ALIVE)))
}

/// The next event; `None` ends the stream, so that a stop need not wait for listeners to leave.
async fn next(core: &Core, subscription: &mut Subscription) -> Option<SseEvent> {
    loop {
        if core.is_draining() {
            return None;
        }
        let received =
            tokio::time::timeout(limits::EVENT_DRAIN_CHECK, subscription.receiver.recv());
        match received.await {
            Ok(Ok(event)) => return Some(written(&event)),
            Ok(Err(RecvError::Lagged(missed))) => {
                return Some(sse("lagged", None, &Lagged { missed }));
            }
            Ok(Err(RecvError::Closed)) => return None,
            Err(_) => {}
        }
    }
}

fn written(event: &Event) -> SseEvent {
    match event {
        Event::Changed(change) => sse("state", Some(change.sequence), change),
        Event::Alert(alert) => sse("alert", Some(alert.sequence), alert),
        Event::Breaker(change) => sse("breaker", Some(change.sequence), change),
    }
}

fn sse(name: &str, sequence: Option<u64>, data: &impl Serialize) -> SseEvent {
    let event = SseEvent::default().event(name);
    let event = match sequence {
        Some(sequence) => event.id(sequence.to_string()),
        None => event,
    };
    event
        .json_data(data)
        .unwrap_or_else(|_| SseEvent::default().event(name))
}
