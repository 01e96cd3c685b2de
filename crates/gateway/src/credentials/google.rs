//! Service accounts of Google's: a private key signs an assertion, which is exchanged for a token of an hour.
//!
//! The token is renewed before it expires, by one request at a time; the others go on with the old one. Only
//! while there is none does everybody wait for the exchange.
//! Source: RFC 7523 as Google has it (its page on OAuth 2.0 for servers).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use keypool_pool::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::{ProofError, secret_value};
use crate::clock::TimeSource;
use crate::limits;
use crate::upstream::UpstreamClient;

/// What the tokens may be used for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const GRANT_TYPE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
/// How long an assertion, and by default a token, lasts; the most that Google grants.
const LIFE: Duration = Duration::from_hours(1);

/// A service account.
pub struct ServiceAccount {
    email: String,
    key_id: String,
    project: Option<String>,
    token_uri: Uri,
    key: RsaKeyPair,
}

/// Why a text is no service account. None of them quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// It is no JSON object with what an account needs.
    #[error(
        "is no service account: expected the JSON file that Google gives for one, with client_email, \
         private_key_id, private_key and token_uri"
    )]
    Shape,
    /// It is of another type, such as a user's own credentials.
    #[error("is not of the type service_account")]
    Type,
    /// Its private key cannot be used.
    #[error("has a private_key that is no RSA key in PKCS #8 PEM form")]
    PrivateKey,
    /// An assertion would go to somebody who is not Google.
    #[error("has a token_uri that is neither at googleapis.com, over https, nor on this machine")]
    TokenUri,
}

impl ServiceAccount {
    /// Reads the JSON of an account.
    pub fn parse(text: &str) -> Result<Self, AccountError> {
        #[derive(Deserialize)]
        struct File {
            client_email: String,
            private_key_id: String,
            private_key: String,
            token_uri: String,
            project_id: Option<String>,
        }
        #[derive(Deserialize)]
        struct Typed {
            #[serde(rename = "type")]
            kind: String,
        }
        let typed: Typed = serde_json::from_str(text).map_err(|_| AccountError::Shape)?;
        if typed.kind != "service_account" {
            return Err(AccountError::Type);
        }
        let file: File = serde_json::from_str(text).map_err(|_| AccountError::Shape)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes())
            .map_err(|_| AccountError::PrivateKey)?;
        let key =
            RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| AccountError::PrivateKey)?;
        let token_uri: Uri = file.token_uri.parse().map_err(|_| AccountError::TokenUri)?;
        if !is_googles_or_ours(&token_uri) {
            return Err(AccountError::TokenUri);
        }
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            project: file.project_id,
            token_uri,
            key,
        })
    }

    /// What names its private key to people; no secret.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The project that it belongs to.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// A statement of who it is, signed.
    fn assertion(&self, now: Timestamp) -> Result<String, ring::error::Unspecified> {
        let now = now.as_unix_micros() / 1_000_000;
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri.to_string(),
            "iat": now,
            "exp": now + LIFE.as_secs(),
        });
        let encode = |part: String| BASE64_URL_SAFE_NO_PAD.encode(part);
        let signed = format!(
            "{}.{}",
            encode(head.to_string()),
            encode(claims.to_string())
        );
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )?;
        Ok(format!(
            "{signed}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature)
        ))
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

fn is_googles_or_ours(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    match uri.scheme_str() {
        Some("https") => host == "googleapis.com" || host.ends_with(".googleapis.com"),
        Some("http") => matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]"),
        _ => false,
    }
}

/// The tokens of an account.
#[derive(Debug)]
pub(crate) struct Tokens {
    account: Arc<ServiceAccount>,
    current: ArcSwapOption<Token>,
    /// Held by whoever asks for a new one. A client that leaves meanwhile lets the next one ask.
    asking: Mutex<()>,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    /// From then on one request asks for a new one.
    renew_at: Timestamp,
    /// From then on it is not used.
    ends_at: Timestamp,
}

impl Tokens {
    pub(super) fn of(account: Arc<ServiceAccount>) -> Self {
        Self {
            account,
            current: ArcSwapOption::empty(),
            asking: Mutex::new(()),
        }
    }

    /// Drops the token: the provider does not take it any more.
    pub(super) fn forget(&self) {
        self.current.store(None);
    }

    /// The header that carries a token which is good now.
    pub(super) async fn header(
        &self,
        upstream: &UpstreamClient,
        time: &Arc<dyn TimeSource>,
    ) -> Result<HeaderValue, ProofError> {
        if let Some(token) = self.current(time) {
            if time.now() < token.renew_at {
                return Ok(token.header.clone());
            }
            let Ok(_asking) = self.asking.try_lock() else {
                return Ok(token.header.clone());
            };
            return match self.ask(upstream, time).await {
                Ok(header) => Ok(header),
                // There is time for others to try again.
                Err(_) => Ok(token.header.clone()),
            };
        }
        let asking = tokio::time::timeout(limits::TOKEN_TIME, self.asking.lock());
        let _asking = asking
            .await
            .map_err(|_| unavailable("others wait for it, too"))?;
        match self.current(time) {
            Some(token) => Ok(token.header.clone()),
            None => self.ask(upstream, time).await,
        }
    }

    /// The token as it is sent, to be looked for in what must not show it.
    pub(super) fn shown(&self) -> Option<String> {
        let token = self.current.load_full()?;
        let value = token.header.to_str().ok()?;
        value.strip_prefix("Bearer ").map(str::to_owned)
    }

    fn current(&self, time: &Arc<dyn TimeSource>) -> Option<Arc<Token>> {
        let token = self.current.load_full()?;
        (time.now() < token.ends_at).then_some(token)
    }

    async fn ask(
        &self,
        upstream: &UpstreamClient,
        time: &Arc<dyn TimeSource>,
    ) -> Result<HeaderValue, ProofError> {
        let asked_at = time.now();
        let exchange = self.exchange(upstream, asked_at);
        let (value, life) = tokio::time::timeout(limits::TOKEN_TIME, exchange)
            .await
            .map_err(|_| unavailable("it did not come in time"))??;
        let header = secret_value("Bearer ", &value)
            .ok_or_else(|| unavailable("it has characters that no header can carry"))?;
        let margin = limits::TOKEN_RENEWAL.min(life / 4);
        self.current.store(Some(Arc::new(Token {
            header: header.clone(),
            renew_at: asked_at + life.saturating_sub(margin),
            ends_at: asked_at + life.saturating_sub(margin / 4),
        })));
        Ok(header)
    }

    /// A new token, and how long it lasts.
    async fn exchange(
        &self,
        upstream: &UpstreamClient,
        now: Timestamp,
    ) -> Result<(String, Duration), ProofError> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
            expires_in: Option<u64>,
        }
        let assertion = self
            .account
            .assertion(now)
            .map_err(|_| unavailable("the private key does not sign"))?;
        let form = format!("grant_type={GRANT_TYPE}&assertion={assertion}");
        let mut request = Request::new(Full::new(Bytes::from(form)));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(&self.account.token_uri);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        let sent = upstream.send(request).await;
        let (response, _open) = sent.map_err(|error| unavailable(&error.to_string()))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, limits::ERROR_BODY_BYTES).collect().await;
        let body = body
            .map_err(|error| unavailable(&error.to_string()))?
            .to_bytes();
        if !parts.status.is_success() {
            return Err(ProofError::Refused(Box::new(parts), body));
        }
        let granted: Granted =
            serde_json::from_slice(&body).map_err(|_| unavailable("the answer holds none"))?;
        let life = granted.expires_in.map_or(LIFE, Duration::from_secs);
        Ok((granted.access_token, life.min(LIFE)))
    }
}

fn unavailable(reason: &str) -> ProofError {
    ProofError::Unavailable(format!("no access token: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertions_go_to_google_or_stay_on_this_machine() {
        for (uri, allowed) in [
            ("https://oauth2.googleapis.com/token", true),
            ("https://www.googleapis.com/oauth2/v4/token", true),
            ("http://127.0.0.1:9/token", true),
            ("http://[::1]:9/token", true),
            ("http://oauth2.googleapis.com/token", false),
            ("https://oauth2.googleapis.com.evil.example/token", false),
            ("https://evilgoogleapis.com/token", false),
            ("/token", false),
        ] {
            assert_eq!(is_googles_or_ours(&uri.parse().unwrap()), allowed, "{uri}");
        }
    }

    #[test]
    fn what_is_no_service_account_is_refused_without_being_quoted() {
        for (text, expected) in [
            ("sk-0123456789", AccountError::Shape),
            (r#"{"type":"authorized_user"}"#, AccountError::Type),
            (r#"{"type":"service_account"}"#, AccountError::Shape),
            (
                r#"{"type":"service_account","client_email":"e","private_key_id":"k",
                    "private_key":"secret","token_uri":"https://oauth2.googleapis.com/token"}"#,
                AccountError::PrivateKey,
            ),
        ] {
            let refused = ServiceAccount::parse(text).unwrap_err();
            assert_eq!(refused, expected, "{text}");
        }
    }
}
