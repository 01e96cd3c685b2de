//! How a request proves to its provider who sends it.
//!
//! Most keys are one header. With an access key of AWS each request is signed. A service account of Google's is
//! exchanged for a token first, which is kept until shortly before it expires.

mod aws;
mod google;

use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderName, HeaderValue, Request};
use keypool_wire::{AuthScheme, Place, ProviderKind};

use crate::clock::TimeSource;
use crate::config::{Credential, KeyEntry};
use crate::secret::Secret;
use crate::upstream::UpstreamClient;
pub use aws::AwsSecret;
use aws::Signer;
use google::Tokens;
pub use google::{AccountError, ServiceAccount};

/// What is put on each request.
#[derive(Debug)]
pub(crate) enum Proof {
    /// Nothing.
    None,
    /// The one header that carries the key.
    Header(HeaderName, HeaderValue),
    /// A signature.
    Signature(Signer),
    /// A token that a service account was exchanged for.
    Token(Tokens),
}

/// Why a request cannot be sent.
#[derive(Debug)]
pub(crate) enum ProofError {
    /// Whoever gives tokens answered with an error.
    Refused(Box<Parts>, Bytes),
    /// No token came.
    Unavailable(String),
}

impl Proof {
    /// That of a key; `None` if it has characters that no header can carry.
    pub(crate) fn of(entry: &KeyEntry, usual: AuthScheme, place: &Place) -> Option<Self> {
        match &entry.credential {
            Credential::Open => Some(Self::None),
            Credential::Key => header(usual, &entry.secret),
            Credential::Bearer => header(AuthScheme::Bearer, &entry.secret),
            Credential::Aws(secret) => {
                let region = place.region().unwrap_or_default();
                Some(Self::Signature(Signer::of(&entry.secret, secret, region)))
            }
            Credential::ServiceAccount(account) => Some(Self::Token(Tokens::of(account.clone()))),
        }
    }

    /// Puts it on a request with this body, whose headers are complete. Asks for a token over `upstream` if there
    /// is none.
    pub(crate) async fn put_on<B>(
        &self,
        request: &mut Request<B>,
        body: &[u8],
        upstream: &UpstreamClient,
        time: &Arc<dyn TimeSource>,
    ) -> Result<(), ProofError> {
        let (name, value) = match self {
            Self::None => return Ok(()),
            Self::Signature(signer) => return signer.sign(request, body, time.now()),
            Self::Header(name, value) => (name.clone(), value.clone()),
            Self::Token(tokens) => (
                http::header::AUTHORIZATION,
                tokens.header(upstream, time).await?,
            ),
        };
        request.headers_mut().insert(name, value);
        Ok(())
    }

    /// What was made of the key and is sent in its place, if there is such a thing.
    pub(crate) fn token(&self) -> Option<String> {
        match self {
            Self::Token(tokens) => tokens.shown(),
            Self::None | Self::Header(..) | Self::Signature(_) => None,
        }
    }

    /// The provider refused it: what was cached of it may be why.
    pub(crate) fn refused(&self) {
        if let Self::Token(tokens) = self {
            tokens.forget();
        }
    }
}

/// Whether a provider takes a key as it is. Of Vertex's, only a service account gives tokens.
pub(crate) fn takes_keys(kind: ProviderKind) -> bool {
    kind != ProviderKind::Vertex
}

fn header(scheme: AuthScheme, secret: &Secret) -> Option<Proof> {
    let name = HeaderName::from_static(scheme.header_name());
    let value = secret_value(scheme.value_prefix(), secret.expose())?;
    Some(Proof::Header(name, value))
}

/// A header's value that is shown nowhere.
fn secret_value(prefix: &str, secret: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{prefix}{secret}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
