//! The admin API: what operators see of the pool, and what they tell it.
//!
//! Who may call is decided before a request comes here. No answer holds a whole key, except an
//! export that asks for it with the admin token.

mod affinity;
mod breaker;
mod bulk;
mod change;
mod distribution;
mod envelope;
mod events;
mod fields;
mod health;
mod instant;
mod keys;
mod keyspec;
mod named;
mod number;
mod openapi;
mod operations;
mod provider;
mod queue;
mod realtime;
mod request;
mod shin;
mod stats;
mod strategy;
mod trace;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use http::{StatusCode, Uri};
use keypool_pool::KeyId;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::core::Core;
use envelope::ApiError;

pub(crate) use envelope::failure;

/// How the caller of an admin route was let in; put into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdminAccess {
    /// The admin token itself was presented.
    pub(crate) with_admin_token: bool,
}

/// All admin routes.
pub(crate) fn router(core: Arc<Core>) -> Router {
    let (router, description) = OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(stats::get))
        .routes(routes!(health::get))
        .routes(routes!(distribution::get))
        .routes(routes!(provider::get))
        .routes(routes!(strategy::get, strategy::post))
        .routes(routes!(operations::health_check))
        .routes(routes!(operations::rotate))
        .routes(routes!(keys::add))
        .routes(routes!(keys::remove))
        .routes(routes!(keys::patch))
        .routes(routes!(bulk::import))
        .routes(routes!(bulk::export))
        .routes(routes!(operations::reload))
        .routes(routes!(breaker::status))
        .routes(routes!(breaker::reset))
        .routes(routes!(breaker::force_open))
        .routes(routes!(queue::status))
        .routes(routes!(queue::clear))
        .routes(routes!(affinity::status))
        .routes(routes!(affinity::clear))
        .routes(routes!(shin::status))
        .routes(routes!(shin::enable))
        .routes(routes!(shin::disable))
        .routes(routes!(realtime::get))
        .routes(routes!(events::alerts))
        .routes(routes!(events::events))
        .routes(routes!(trace::trace))
        .split_for_parts();
    let paths: BTreeSet<String> = description.paths.paths.keys().cloned().collect();
    let paths = Arc::new(paths);
    let description = openapi::written(&description);
    router
        .route(
            "/api/openapi.json",
            get(async move || openapi::answer(description)),
        )
        .fallback(unknown_route)
        .method_not_allowed_fallback(async move |uri: Uri| wrong_method(&paths, uri.path()))
        .with_state(core)
}

async fn unknown_route() -> ApiError {
    not_found()
}

fn not_found() -> ApiError {
    let message = "there is no such admin route; /api/openapi.json lists them all";
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}

/// A path that only a key's place answers to, and that is no key, is a route misspelt.
fn wrong_method(paths: &BTreeSet<String>, path: &str) -> ApiError {
    let in_place_of_key = path
        .strip_prefix("/api/apikeys/")
        .filter(|rest| !rest.contains('/'));
    let is_key = in_place_of_key.is_none_or(|rest| rest.parse::<KeyId>().is_ok());
    if !is_key && !paths.contains(path) {
        return not_found();
    }
    let message = "this route does not take this method; /api/openapi.json tells which it takes";
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        message,
    )
}

#[cfg(test)]
mod tests;
