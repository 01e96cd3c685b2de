//! From a request's method and path to what serves it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use keypool_wire::{Dialect, Endpoint, GeminiPath, OwnError};
use tower::ServiceExt;

use super::activity::Clocks;
use super::pressure::Pressure;
use crate::admin::{self, AdminAccess};
use crate::answer::{Retry, error_response, json_response, stopping};
use crate::auth::check_admin;
use crate::body::AnswerBody;
use crate::core::Core;
use crate::limits;
use crate::telemetry::{Defence, render_metrics};
use crate::traffic;
use crate::upstream::UpstreamClient;

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routes {
    Traffic,
    Admin,
    TrafficAndAdmin,
}

/// Serves requests; cheap to clone.
#[derive(Clone)]
pub(super) struct Service {
    core: Arc<Core>,
    upstream: Arc<UpstreamClient>,
    routes: Routes,
    admin: axum::Router,
    pressure: Arc<Pressure>,
}

/// What a path stands for.
enum Route {
    Endpoint(Endpoint),
    Models,
    Root,
    Health,
    Ready,
    Metrics,
    Admin,
    Unknown,
}

impl Service {
    pub(super) fn new(core: Arc<Core>, upstream: Arc<UpstreamClient>, routes: Routes) -> Self {
        let admin = admin::router(core.clone());
        Self {
            core,
            upstream,
            routes,
            admin,
            pressure: Arc::default(),
        }
    }

    /// The clocks of a client's connection, as configured now.
    pub(super) fn clocks(&self) -> Clocks {
        Clocks::from(&self.core.live().config.timeouts)
    }

    /// Where it is counted what the gateway refuses and closes.
    pub(super) fn defence(&self) -> &Arc<Defence> {
        &self.core.measurements.defence
    }

    /// Watches the pressure on the worker whose task this is.
    pub(super) fn watch_pressure(&self) -> impl Future<Output = ()> + Send + use<> {
        let core = self.core.clone();
        let bound = move || core.live().config.bounds.delay;
        self.pressure.clone().watch(bound)
    }

    pub(super) async fn serve(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        let (route, dialect) = (self.route(request.uri().path()), dialect_of(&request));
        if matches!(route, Route::Endpoint(_)) {
            let is_critical = || traffic::is_critical(request.headers());
            if !self.pressure.admits(is_critical).await {
                return self.overloaded(dialect);
            }
        }
        if let Err(error) = check_authority(&request) {
            let mut response = error_response(dialect, &error, Retry::Never);
            if request.version() < Version::HTTP_2 {
                // What else comes on this connection may be no request of its client's.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            return response;
        }
        match (route, request.method()) {
            (Route::Endpoint(endpoint), &Method::POST) => {
                if self.core.is_draining() {
                    return stopping(dialect);
                }
                traffic::serve(&self.core, &self.upstream, endpoint, request).await
            }
            (Route::Endpoint(_), &Method::GET) if asks_for_websocket(request.headers()) => {
                no_websocket(dialect, request.uri().path())
            }
            (Route::Models, &Method::GET) => self.models(&request).await,
            (Route::Root | Route::Health, &Method::GET | &Method::HEAD) => {
                json_response(200, r#"{"status":"ok"}"#)
            }
            (Route::Ready, &Method::GET | &Method::HEAD) => self.ready(),
            (Route::Metrics, &Method::GET) => self.metrics(&request, dialect),
            (Route::Admin, _) => self.admin(request).await,
            // A method of Google's that is not served looks like a model's name.
            (Route::Models, &Method::POST) if request.uri().path().contains(':') => {
                not_found(dialect, request.uri().path())
            }
            (Route::Unknown, _) => not_found(dialect, request.uri().path()),
            _ => wrong_method(dialect, request.method(), request.uri().path()),
        }
    }

    fn route(&self, path: &str) -> Route {
        let common = match path {
            "/" => Some(Route::Root),
            "/health" => Some(Route::Health),
            "/ready" => Some(Route::Ready),
            _ => None,
        };
        if let Some(route) = common {
            return route;
        }
        let with_traffic = self.routes != Routes::Admin;
        let with_admin = self.routes != Routes::Traffic;
        match path {
            "/metrics" if with_admin => Route::Metrics,
            path if with_admin && path.starts_with("/api/") => Route::Admin,
            path if with_traffic => match endpoint_of(path) {
                Some(endpoint) => Route::Endpoint(endpoint),
                None if traffic::is_models_path(path) => Route::Models,
                None => Route::Unknown,
            },
            _ => Route::Unknown,
        }
    }

    /// The answer to a request for which there is no time.
    fn overloaded(&self, dialect: Dialect) -> Response<AnswerBody> {
        let number = self.defence().count_refused_request();
        let error = OwnError {
            status: 503,
            code: "overloaded",
            message: "keypool has more requests than it can serve; try again in a moment"
                .to_owned(),
        };
        error_response(dialect, &error, Retry::After(spread(number)))
    }

    async fn models(&self, request: &Request<Incoming>) -> Response<AnswerBody> {
        let live = self.core.live();
        match crate::auth::check_client(&live.config, request.headers(), request.uri()) {
            Ok(_) => traffic::answer_models(&live, &self.upstream, request).await,
            Err(denied) => {
                let (error, retry) = traffic::denied(denied);
                error_response(traffic::models_dialect(request), &error, retry)
            }
        }
    }

    fn ready(&self) -> Response<AnswerBody> {
        if self.core.is_draining() {
            json_response(503, r#"{"status":"draining"}"#)
        } else {
            json_response(200, r#"{"status":"ready"}"#)
        }
    }

    fn metrics(&self, request: &Request<Incoming>, dialect: Dialect) -> Response<AnswerBody> {
        let live = self.core.live();
        match check_admin(&live.config, request.headers(), request.uri()) {
            Ok(_) => {
                let mut response = json_response(200, render_metrics(&self.core));
                let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static(text));
                response
            }
            Err(denied) => {
                let (error, retry) = traffic::denied(denied);
                error_response(dialect, &error, retry)
            }
        }
    }

    async fn admin(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        let live = self.core.live();
        let pass = match check_admin(&live.config, request.headers(), request.uri()) {
            Ok(pass) => pass,
            Err(denied) => {
                let (error, _) = traffic::denied(denied);
                return admin::failure(error.status, error.code, &error.message)
                    .map(AnswerBody::Admin);
            }
        };
        let mut request = request.map(axum::body::Body::new);
        let access = AdminAccess {
            with_admin_token: pass.with_admin_token,
        };
        request.extensions_mut().insert(access);
        match self.admin.clone().oneshot(request).await {
            Ok(response) => response.map(AnswerBody::Admin),
            Err(never) => match never {},
        }
    }
}

/// When the `number`-th refused client should come back: not together with those before it.
fn spread(number: u64) -> Duration {
    let longest = u64::try_from(limits::REFUSED_RETRY_AFTER.as_millis()).unwrap_or(1000);
    // A prime, so that neighbours are far apart.
    let more = number.wrapping_mul(397) % longest;
    limits::REFUSED_RETRY_AFTER + Duration::from_millis(more)
}

/// Refuses a request that names its host twice, and not alike, or over HTTP/1.1 not at all (RFC 9112,
/// 3.2): who reads the one and who reads the other would not agree on what is asked for.
fn check_authority(request: &Request<Incoming>) -> Result<(), OwnError> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let authority = request.uri().authority().map(Authority::as_str);
    let message = match (host, second, authority) {
        (_, Some(_), _) => "the request has several Host headers",
        (None, None, None) if request.version() == Version::HTTP_11 => {
            "the request has no Host header"
        }
        (Some(host), None, Some(authority))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) =>
        {
            "the request's Host header and its target name different hosts"
        }
        _ => return Ok(()),
    };
    Err(OwnError {
        status: 400,
        code: "bad_host",
        message: message.to_owned(),
    })
}

fn endpoint_of(path: &str) -> Option<Endpoint> {
    Some(match path {
        "/v1/messages" => Endpoint::Messages,
        "/v1/messages/count_tokens" => Endpoint::CountTokens,
        "/v1/chat/completions" => Endpoint::ChatCompletions,
        "/v1/responses" => Endpoint::Responses,
        "/v1/embeddings" => Endpoint::Embeddings,
        _ => return GeminiPath::parse(path).map(|path| path.endpoint),
    })
}

/// The dialect in which a request is answered when it leads nowhere.
fn dialect_of(request: &Request<Incoming>) -> Dialect {
    let by_header = |headers: &HeaderMap| {
        if headers.contains_key("anthropic-version") {
            Dialect::Anthropic
        } else if headers.contains_key("x-goog-api-key") {
            Dialect::Gemini
        } else {
            Dialect::OpenAi
        }
    };
    endpoint_of(request.uri().path())
        .map_or_else(|| by_header(request.headers()), Endpoint::dialect)
}

fn not_found(dialect: Dialect, path: &str) -> Response<AnswerBody> {
    let message = format!("there is nothing at {}", keypool_wire::excerpt(path));
    error_response(
        dialect,
        &OwnError {
            status: 404,
            code: "not_found",
            message,
        },
        Retry::Never,
    )
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let wanted = headers.get(UPGRADE);
    wanted.is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The refusal of a WebSocket. Codex tries one first; at this status alone it goes on over HTTP at once, and
/// at any other after several tries.
fn no_websocket(dialect: Dialect, path: &str) -> Response<AnswerBody> {
    let error = OwnError {
        status: 426,
        code: "no_websocket",
        message: format!("keypool speaks no WebSocket; send a POST to {path}"),
    };
    let mut response = error_response(dialect, &error, Retry::Never);
    // A must with this status (RFC 9110, 15.5.22).
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

fn wrong_method(dialect: Dialect, method: &Method, path: &str) -> Response<AnswerBody> {
    let message = format!("{method} is not allowed at {path}");
    let error = OwnError {
        status: 405,
        code: "method_not_allowed",
        message,
    };
    error_response(dialect, &error, Retry::Never)
}
