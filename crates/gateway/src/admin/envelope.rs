//! The one shape of every answer: `success`, then `data` or `error`, then `timestamp`.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use keypool_pool::AdminError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::core::ReloadError;
use crate::provider::ProviderError;
use crate::state::StateError;

/// A handler's answer.
pub(super) type Answer<T> = Result<Success<T>, ApiError>;

/// An answer that says what was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the API's own names")]
pub(super) struct Success<T> {
    /// Always true.
    success: bool,
    /// What was asked for.
    data: T,
    /// When it was so; RFC 3339.
    timestamp: String,
    #[serde(skip)]
    status: StatusCode,
}

/// An answer that says what is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Failure {
    /// Always false.
    success: bool,
    /// What is wrong.
    error: ErrorDetail,
    /// RFC 3339.
    timestamp: String,
}

/// What is wrong and what to do about it.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorDetail {
    /// Stable, for programs.
    code: Cow<'static, str>,
    /// For people.
    message: String,
    /// Path of the field that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// Why a call is refused or failed.
///
/// Messages never repeat what was sent: a key in the wrong place must not come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) field: Option<String>,
}

impl<T> Success<T> {
    /// Status 200.
    pub(super) fn ok(data: T) -> Self {
        Self {
            success: true,
            data,
            timestamp: timestamp(),
            status: StatusCode::OK,
        }
    }

    /// Status 201.
    pub(super) fn created(data: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            ..Self::ok(data)
        }
    }
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self) {
            Ok(body) => json(self.status, body),
            Err(error) => {
                tracing::error!("an answer of the admin API could not be written: {error}");
                ApiError::internal().into_response()
            }
        }
    }
}

impl ApiError {
    /// An error without a field.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            field: None,
        }
    }

    /// 400: a field of the body or the query is wrong.
    pub(super) fn field(
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, code, message);
        Self {
            field: Some(field.into()),
            ..error
        }
    }

    /// 404: no provider has this name.
    pub(super) fn unknown_provider(known: &str) -> Self {
        let message = format!("there is no provider of this name; configured are: {known}");
        let error = Self::new(StatusCode::NOT_FOUND, "unknown_provider", message);
        Self {
            field: Some("provider".to_owned()),
            ..error
        }
    }

    /// 404: the provider has no such key.
    pub(super) fn unknown_key(provider: &str, field: &str) -> Self {
        let message = format!("{provider} has no such key; name it in full or by its id");
        let error = Self::new(StatusCode::NOT_FOUND, "unknown_key", message);
        Self {
            field: Some(field.to_owned()),
            ..error
        }
    }

    /// 409: the provider has this key already.
    pub(super) fn duplicate_key(provider: &str, mask: &str) -> Self {
        let message =
            format!("{provider} has {mask} already; change it with PATCH, or remove it first");
        let error = Self::new(StatusCode::CONFLICT, "duplicate_key", message);
        Self {
            field: Some("key".to_owned()),
            ..error
        }
    }

    /// 500: a fault of the gateway's own.
    pub(super) fn internal() -> Self {
        let message = "keypool failed to carry this out; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        let message = error.to_string();
        match error {
            AdminError::UnknownKey(_) => Self::new(StatusCode::NOT_FOUND, "unknown_key", message),
            AdminError::DuplicateKey(_) => {
                Self::new(StatusCode::CONFLICT, "duplicate_key", message)
            }
            AdminError::NoOtherKey => Self::new(StatusCode::CONFLICT, "no_other_key", message),
            _ => Self::new(StatusCode::BAD_REQUEST, "invalid_key", message),
        }
    }
}

impl From<StateError> for ApiError {
    fn from(error: StateError) -> Self {
        tracing::error!("{error}");
        let message = "the change could not be written to disk, so nothing has changed; \
                       keypool's log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "not_saved", message)
    }
}

impl From<ProviderError> for ApiError {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::KeyCharacters { .. } => Self::field(
                "invalid_key",
                "key",
                "the key has characters that no HTTP header can carry",
            ),
            ProviderError::Change { source, .. } => source.into(),
            ProviderError::Place { source, .. } => {
                Self::field("invalid_field", source.field, source.message)
            }
            ProviderError::Pool { .. } => {
                tracing::error!("{error}");
                Self::internal()
            }
        }
    }
}

impl From<ReloadError> for ApiError {
    fn from(error: ReloadError) -> Self {
        let message = format!("the running configuration stays in force: {error}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_config", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        failure_response(
            self.status,
            Cow::Borrowed(self.code),
            self.message,
            self.field,
        )
    }
}

/// A failure decided outside of the admin routes, in their shape.
pub(crate) fn failure(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    failure_response(
        status,
        Cow::Owned(code.to_owned()),
        message.to_owned(),
        None,
    )
}

fn failure_response(
    status: StatusCode,
    code: Cow<'static, str>,
    message: String,
    field: Option<String>,
) -> Response {
    let error = ErrorDetail {
        code,
        message,
        field,
    };
    let failure = Failure {
        success: false,
        error,
        timestamp: timestamp(),
    };
    // Texts alone: serialising them does not fail.
    json(status, serde_json::to_vec(&failure).unwrap_or_default())
}

/// A JSON answer that nobody may keep: it speaks of this moment.
pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;

    async fn body(response: Response) -> Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn success_has_data_and_a_timestamp() {
        // acceptance 38
        let response = Success::created(7).into_response();
        assert_eq!(response.status(), StatusCode::CREATED);
        let body = body(response).await;
        assert_eq!(body["success"], Value::Bool(true));
        assert_eq!(body["data"], 7);
        let timestamp: jiff::Timestamp = body["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(timestamp.as_second() > 0);
        assert_eq!(body.as_object().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn every_failure_has_code_message_and_field_where_there_is_one() {
        // acceptance 38
        let response = ApiError::unknown_provider("anthropic").into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let body = body(response).await;
        assert_eq!(body["success"], Value::Bool(false));
        assert_eq!(body["error"]["code"], "unknown_provider");
        assert_eq!(body["error"]["field"], "provider");
        assert!(
            body["error"]["message"]
                .as_str()
                .unwrap()
                .contains("anthropic")
        );

        let body = self::body(failure(401, "unauthorized", "no")).await;
        assert_eq!(
            body["error"],
            serde_json::json!({"code": "unauthorized", "message": "no"})
        );
        assert!(body["timestamp"].is_string());
    }
}
