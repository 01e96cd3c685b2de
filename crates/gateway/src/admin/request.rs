//! What comes in: bodies, queries, and which providers a call is about.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use keypool_pool::KeyId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::IntoParams;

use super::envelope::ApiError;
use super::fields::Fields;
use crate::core::Core;
use crate::limits;
use crate::provider::Provider;
use crate::secret::Secret;

/// A body as it came.
#[derive(Debug)]
pub(super) struct RawBody(pub(super) Bytes);

/// A JSON object; no body at all is an empty one. The content type is not looked at, since
/// `curl -d` names another.
#[derive(Debug)]
pub(super) struct JsonBody(pub(super) Fields);

/// A query string.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

/// The one variable segment of a path.
#[derive(Debug)]
pub(super) struct Segment(pub(super) String);

/// Which provider a call is about.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ProviderQuery {
    /// The provider's name; all providers when absent.
    pub(super) provider: Option<String>,
}

impl FromRequest<Arc<Core>> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, core: &Arc<Core>) -> Result<Self, ApiError> {
        let time = core.live().config.timeouts.client_body;
        let reading = Limited::new(request.into_body(), limits::ADMIN_BODY_BYTES).collect();
        match tokio::time::timeout(time, reading).await {
            Ok(Ok(body)) => Ok(Self(body.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("a body may have at most {} bytes", limits::ADMIN_BODY_BYTES),
            )),
            Ok(Err(_)) => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "invalid_body",
                "the body broke off",
            )),
            Err(_) => Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                format!("the body did not arrive within {} s", time.as_secs()),
            )),
        }
    }
}

impl FromRequest<Arc<Core>> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, core: &Arc<Core>) -> Result<Self, ApiError> {
        let RawBody(body) = RawBody::from_request(request, core).await?;
        if body.trim_ascii().is_empty() {
            return Fields::of(Value::Object(serde_json::Map::new()), "").map(Self);
        }
        Fields::of(parse_json(&body)?, "").map(Self)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let wrong = |_| {
            let message =
                "the query string cannot be read; see /api/openapi.json for what it may say";
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", message)
        };
        Query::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(wrong)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let wrong = |_| {
            let message = "the path is not UTF-8 once its percent signs are resolved";
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_path", message)
        };
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(segment)| Self(segment))
            .map_err(wrong)
    }
}

/// Reads JSON; an error tells the place.
pub(super) fn parse_json(body: &[u8]) -> Result<Value, ApiError> {
    // Read as a tree of plain values, an error speaks of syntax alone and repeats nothing.
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is not JSON: {error}");
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", message)
    })
}

/// The provider of this name.
pub(super) fn provider(core: &Core, name: &str) -> Result<Arc<Provider>, ApiError> {
    let live = core.live();
    let found = live.provider(name).cloned();
    found.ok_or_else(|| ApiError::unknown_provider(&live.provider_names()))
}

/// The provider of this name, or all of them.
pub(super) fn providers(core: &Core, name: Option<&str>) -> Result<Vec<Arc<Provider>>, ApiError> {
    match name {
        Some(name) => provider(core, name).map(|found| vec![found]),
        None => Ok(core.live().providers().to_vec()),
    }
}

/// A key by its id or in full.
pub(super) fn key_id(named: &str) -> KeyId {
    let named = named.trim();
    named.parse().unwrap_or_else(|_| Secret::new(named).id())
}
