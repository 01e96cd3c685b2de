//! Access keys of AWS: each request is signed (Signature Version 4).

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Uri};
use keypool_pool::Timestamp;

use super::ProofError;
use crate::secret::Secret;

/// The name of the service in signatures, for its runtime, too.
const SERVICE: &str = "bedrock";

/// The secret part of an access key.
#[derive(Debug, Clone)]
pub struct AwsSecret {
    /// The secret access key.
    pub secret_access_key: Secret,
    /// What goes along with temporary credentials.
    pub session_token: Option<Secret>,
}

/// Signs requests to one region.
pub(crate) struct Signer {
    credentials: Credentials,
    region: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Signer {
    pub(super) fn of(access_key_id: &Secret, secret: &AwsSecret, region: &str) -> Self {
        let token = secret.session_token.as_ref();
        Self {
            credentials: Credentials::new(
                access_key_id.expose(),
                secret.secret_access_key.expose(),
                token.map(|token| token.expose().to_owned()),
                None,
                "keypool",
            ),
            region: region.to_owned(),
        }
    }

    /// Signs what cannot change on the way: method, URL, body, host and the body's type.
    pub(super) fn sign<B>(
        &self,
        request: &mut Request<B>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), ProofError> {
        let failed = |error: &dyn std::fmt::Display| {
            ProofError::Unavailable(format!("the request cannot be signed: {error}"))
        };
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(SystemTime::UNIX_EPOCH + Duration::from_micros(now.as_unix_micros()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let uri = request.uri().to_string();
        let host = host_of(request.uri());
        if let Some(first) = request.headers().get(CONTENT_TYPE).cloned() {
            // Of several only one could be signed.
            request.headers_mut().insert(CONTENT_TYPE, first);
        }
        let content_type = request.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let signed = [
            Some((HOST.as_str(), host.as_str())),
            content_type.map(|value| (CONTENT_TYPE.as_str(), value)),
        ];
        let method = request.method().as_str();
        let signable = SignableRequest::new(
            method,
            uri,
            signed.into_iter().flatten(),
            SignableBody::Bytes(body),
        );
        let signable = signable.map_err(|error| failed(&error))?;
        let signed = sign(signable, &params).map_err(|error| failed(&error))?;
        let (instructions, _) = signed.into_parts();
        let host = HeaderValue::try_from(host).map_err(|error| failed(&error))?;
        request.headers_mut().insert(HOST, host);
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

/// The `host` header of a request to a URL.
fn host_of(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let usual = match uri.scheme_str() {
        Some("http") => 80,
        _ => 443,
    };
    match uri.port_u16() {
        Some(port) if port != usual => format!("{host}:{port}"),
        _ => host.to_owned(),
    }
}
