//! `GET /api/trace`: requests as they end, one JSON record a line.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;

use super::envelope::{ApiError, Failure};
use super::request::{Params, ProviderQuery, providers};
use crate::core::Core;
use crate::limits;
use crate::telemetry::TraceSubscription;

/// Requests as they end, from now on: when they came, what they asked for and used, how long they waited and
/// took; nothing that anybody wrote. One JSON object a line, an empty line now and then so that the
/// connection stays open. A listener that does not keep up loses the oldest.
#[utoipa::path(
    get, path = "/api/trace", tag = "events", params(ProviderQuery),
    responses(
        (status = 200, content_type = "application/x-ndjson", body = String),
        (status = 404, body = Failure),
        (status = 503, body = Failure, description = "Too many listeners"),
    ),
)]
pub(super) async fn trace(
    State(core): State<Arc<Core>>,
    Params(query): Params<ProviderQuery>,
) -> Result<Response, ApiError> {
    // For the error if there is no such provider.
    providers(&core, query.provider.as_deref())?;
    let Some(subscription) = core.measurements.traces().subscribe() else {
        let message = format!(
            "{} listeners are all there may be",
            limits::TRACE_SUBSCRIBERS
        );
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_listeners",
            message,
        ));
    };
    let state = (core, subscription, query.provider);
    let lines = unfold(state, |(core, mut subscription, provider)| async move {
        let line = next(&core, &mut subscription, provider.as_deref()).await?;
        Some((Ok::<_, Infallible>(line), (core, subscription, provider)))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    Ok(response)
}

/// The next line; `None` ends the stream: on a stop once all records so far are out, so that the stop need
/// not wait for listeners to leave.
async fn next(
    core: &Core,
    subscription: &mut TraceSubscription,
    provider: Option<&str>,
) -> Option<Bytes> {
    let receiver = &mut subscription.receiver;
    // Records of other providers do not break the silence.
    let silent_until = Instant::now() + limits::EVENT_KEEP_ALIVE;
    loop {
        let record = match receiver.try_recv() {
            Ok(record) => record,
            Err(TryRecvError::Lagged(_)) => continue,
            Err(TryRecvError::Closed) => return None,
            Err(TryRecvError::Empty) if core.is_draining() => return None,
            Err(TryRecvError::Empty) if Instant::now() >= silent_until => {
                return Some(Bytes::from_static(b"\n"));
            }
            Err(TryRecvError::Empty) => {
                match tokio::time::timeout(limits::EVENT_DRAIN_CHECK, receiver.recv()).await {
                    Ok(Ok(record)) => record,
                    Ok(Err(RecvError::Lagged(_))) | Err(_) => continue,
                    Ok(Err(RecvError::Closed)) => return None,
                }
            }
        };
        if provider.is_none_or(|wanted| wanted == record.provider) {
            let mut line = serde_json::to_vec(&*record).ok()?;
            line.push(b'\n');
            return Some(line.into());
        }
    }
}
