//! From a request's method and path to what serves it.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use keypool_wire::{Dialect, Endpoint, OwnError};
use tower::ServiceExt;

use crate::admin::{self, AdminAccess};
use crate::answer::{Retry, error_response, json_response, stopping};
use crate::auth::check_admin;
use crate::body::AnswerBody;
use crate::core::Core;
use crate::telemetry::render_metrics;
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
        }
    }

    pub(super) async fn serve(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        let (route, dialect) = (self.route(request.uri().path()), dialect_of(&request));
        match (route, request.method()) {
            (Route::Endpoint(endpoint), &Method::POST) => {
                if self.core.is_draining() {
                    return stopping(dialect);
                }
                traffic::serve(&self.core, &self.upstream, endpoint, request).await
            }
            (Route::Models, &Method::GET) => self.models(&request, dialect),
            (Route::Root | Route::Health, &Method::GET | &Method::HEAD) => {
                json_response(200, r#"{"status":"ok"}"#)
            }
            (Route::Ready, &Method::GET | &Method::HEAD) => self.ready(),
            (Route::Metrics, &Method::GET) => self.metrics(&request, dialect),
            (Route::Admin, _) => self.admin(request).await,
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
            "/v1/models" if with_traffic => Route::Models,
            path if with_traffic => endpoint_of(path).map_or(Route::Unknown, Route::Endpoint),
            _ => Route::Unknown,
        }
    }

    fn models(&self, request: &Request<Incoming>, dialect: Dialect) -> Response<AnswerBody> {
        let live = self.core.live();
        match crate::auth::check_client(&live.config, request.headers(), request.uri()) {
            Ok(_) => json_response(
                200,
                traffic::list_models(&live, request.headers()).to_string(),
            ),
            Err(denied) => {
                let (error, retry) = traffic::denied(denied);
                error_response(dialect, &error, retry)
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

fn endpoint_of(path: &str) -> Option<Endpoint> {
    Some(match path {
        "/v1/messages" => Endpoint::Messages,
        "/v1/messages/count_tokens" => Endpoint::CountTokens,
        "/v1/chat/completions" => Endpoint::ChatCompletions,
        "/v1/responses" => Endpoint::Responses,
        "/v1/embeddings" => Endpoint::Embeddings,
        _ => return None,
    })
}

/// The dialect in which a request is answered when it leads nowhere.
fn dialect_of(request: &Request<Incoming>) -> Dialect {
    let by_header = |headers: &HeaderMap| {
        if headers.contains_key("anthropic-version") {
            Dialect::Anthropic
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

fn wrong_method(dialect: Dialect, method: &Method, path: &str) -> Response<AnswerBody> {
    let message = format!("{method} is not allowed at {path}");
    let error = OwnError {
        status: 405,
        code: "method_not_allowed",
        message,
    };
    error_response(dialect, &error, Retry::Never)
}
