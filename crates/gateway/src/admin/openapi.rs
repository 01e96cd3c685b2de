//! `GET /api/openapi.json`: the description of these routes, made from the routes themselves.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};

use super::envelope::json;

/// What the document says besides the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "keypool admin API",
        description = "Every answer is {success, data, timestamp} or {success, error, timestamp}. \
                       Without a gateway key and an admin token the routes are open on \
                       loopback only.",
    ),
    tags(
        (name = "keys", description = "Keys: what they do, and changing them"),
        (name = "pool", description = "How keys are chosen and checked"),
        (name = "events", description = "What happens to keys"),
        (name = "gateway", description = "The gateway as a whole"),
    ),
    modifiers(&Access),
    security((), ("token" = []), ("bearer" = [])),
)]
pub(super) struct Description;

struct Access;

impl utoipa::Modify for Access {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let header = ApiKeyValue::with_description(
            "x-api-key",
            "The admin token; without one configured, the gateway's own key",
        );
        components.add_security_scheme("token", SecurityScheme::ApiKey(ApiKey::Header(header)));
        let bearer = Http::new(HttpAuthScheme::Bearer);
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The document as it is sent.
pub(super) fn written(document: &Document) -> Bytes {
    match document.to_json() {
        Ok(text) => Bytes::from(text),
        Err(error) => {
            tracing::error!("the description of the admin API cannot be written: {error}");
            Bytes::from_static(b"{}")
        }
    }
}

/// The document as an answer.
pub(super) fn answer(document: Bytes) -> Response {
    json(StatusCode::OK, document)
}
