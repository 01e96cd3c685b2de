//! Client traffic: from a request's head to an answer.

mod attempt;
pub(crate) mod deferred;
mod event_frames;
mod failure;
mod headers;
pub(crate) mod intake;
mod journey;
mod models;
mod opening;
mod options;
mod quota_headers;
mod quota_report;
mod refusals;
pub(crate) mod relay;
mod request;
mod settlement;
mod stage;
mod trail;
mod translation;
mod upstream_body;

use std::sync::Arc;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use keypool_wire::{Dialect, Endpoint, OwnError};

use crate::answer::{Retry, error_response, json_response};
use crate::auth::{Denied, check_client};
use crate::body::AnswerBody;
use crate::core::Core;
use crate::routing::{RouteError, route};
use crate::upstream::UpstreamClient;
use deferred::{HoldOpen, Pending, held_open};
pub(crate) use failure::upstream_headers;
pub(crate) use headers::{ANTHROPIC_VERSION, ANTHROPIC_VERSION_HEADER};
use journey::{Journey, Means};
pub(crate) use models::{answer_models, is_models_path, models_dialect};
pub(crate) use options::is_critical;
pub(crate) use quota_headers::QuotaHeaders;
use request::{Arrival, ClientRequest};
use trail::{REQUEST_ID_HEADER, Trail};
pub(crate) use translation::endpoint_at;

/// Serves one request for an answer of a model.
pub(crate) async fn serve(
    core: &Arc<Core>,
    upstream: &Arc<UpstreamClient>,
    endpoint: Endpoint,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let arrival = Arrival {
        id: core.measurements.next_request_id(),
        at: core.time.now(),
    };
    let Some(after) = core.live().config.queue.keep_alive else {
        return answer(core, upstream, endpoint, arrival, request, None).await;
    };
    let shown = core
        .live()
        .config
        .answer_headers
        .then(|| arrival.id.clone());
    let hold_open = Arc::new(HoldOpen::new(after));
    let (core, upstream, raised) = (core.clone(), upstream.clone(), hold_open.clone());
    let mut pending: Pending = Box::pin(async move {
        answer(
            &core,
            &upstream,
            endpoint,
            arrival,
            request,
            Some(&*hold_open),
        )
        .await
    });
    tokio::select! {
        response = &mut pending => response,
        () = raised.raised() => {
            let mut response = held_open(endpoint, pending);
            if let Some(id) = shown.and_then(|id| HeaderValue::from_str(&id).ok()) {
                // Of the rest of what an answer tells nothing is known yet.
                response.headers_mut().insert(REQUEST_ID_HEADER, id);
            }
            response
        }
    }
}

async fn answer(
    core: &Core,
    upstream: &UpstreamClient,
    endpoint: Endpoint,
    arrival: Arrival,
    request: Request<Incoming>,
    hold_open: Option<&HoldOpen>,
) -> Response<AnswerBody> {
    let (id, arrived) = (arrival.id.clone(), arrival.at);
    let live = core.live();
    let served = serve_arrival(
        Means {
            core,
            upstream,
            live: &live,
            hold_open,
        },
        endpoint,
        arrival,
        request,
    );
    let served = served.await;
    let (mut response, trail) = match served {
        Ok(served) => served,
        Err((error, retry)) => (
            error_response(endpoint.dialect(), &error, retry),
            Trail::default(),
        ),
    };
    let took = core.time.now().saturating_duration_since(arrived);
    core.measurements
        .observe_answer(response.status().as_u16(), took);
    if live.config.answer_headers {
        trail.write_to(&mut response, &id);
    }
    tracing::debug!(
        request = %id,
        status = response.status().as_u16(),
        attempts = trail.attempts,
        ms = took.as_millis(),
        "answered",
    );
    response
}

async fn serve_arrival(
    means: Means<'_>,
    endpoint: Endpoint,
    arrival: Arrival,
    request: Request<Incoming>,
) -> Result<(Response<AnswerBody>, Trail), (OwnError, Retry)> {
    let Means { core, live, .. } = means;
    let tenant = check_client(&live.config, request.headers(), request.uri()).map_err(denied)?;
    let permanent = |error: OwnError| (error, Retry::Never);
    let request = ClientRequest::accept(
        arrival,
        tenant,
        endpoint,
        request,
        core.bodies.share(),
        &live.config,
        core.measurements.traces(),
    )
    .await?;
    let wanted = request.wanted().map_err(permanent)?;
    let routed = match route(live, &wanted) {
        Err(RouteError::OtherDialect { .. }) if endpoint.counts_tokens() => {
            return Ok(estimated_count(&request));
        }
        routed => routed.map_err(|error| permanent(route_error(&error)))?,
    };
    Ok(Journey::new(means, request).run(&routed).await)
}

/// The answer to who wants tokens counted that the wanted provider does not count: a guess.
fn estimated_count(request: &ClientRequest<'_>) -> (Response<AnswerBody>, Trail) {
    let count = request.facts.peek.input_tokens;
    let figure = match request.facts.endpoint.dialect() {
        Dialect::Anthropic | Dialect::OpenAi => "input_tokens",
        Dialect::Gemini => "totalTokens",
    };
    let response = json_response(200, format!(r#"{{"{figure}":{count}}}"#));
    (response, Trail::of_estimate())
}

/// The answer to a request that is not let in.
pub(crate) fn denied(denied: Denied) -> (OwnError, Retry) {
    let (status, code) = match denied {
        Denied::Credentials => (401, "invalid_gateway_key"),
        Denied::UnknownHost => (403, "unknown_host"),
        Denied::ForeignOrigin => (403, "foreign_origin"),
    };
    (
        OwnError {
            status,
            code,
            message: denied.to_string(),
        },
        Retry::Never,
    )
}

fn route_error(error: &RouteError) -> OwnError {
    let (status, code) = match error {
        RouteError::UnknownProvider { .. } => (404, "unknown_provider"),
        RouteError::UnknownModel { .. } => (404, "unknown_model"),
        RouteError::OtherDialect { .. } => (400, "other_dialect"),
    };
    OwnError {
        status,
        code,
        message: error.to_string(),
    }
}
