//! From a URL to a connection: TCP, straight or through a proxy, then TLS, within one time bound.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Uri};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::Service;

use crate::config::NetworkConfig;
use crate::exhaustion::is_from_exhaustion;
use crate::limits;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;
type Stream = TokioIo<TcpStream>;

/// What is wrong with the configured network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file of additional roots cannot be used.
    #[error("cannot read CA certificates from {path}: {reason}")]
    CaFile {
        /// The file named in the configuration.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// The proxy's URL is not one.
    #[error("the proxy must be a URL like http://host:port")]
    Proxy,
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Connects within a time bound and counts what it opened. While this machine has no descriptor for a
/// connection it waits for one.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<Transport>,
    connect_time: Duration,
    opened: Arc<AtomicU64>,
}

/// TCP to the provider itself, or through an HTTP proxy's CONNECT.
#[derive(Debug, Clone)]
enum Transport {
    Direct(HttpConnector),
    Proxied(Tunnel<HttpConnector>),
}

pub(super) fn build_connector(
    network: &NetworkConfig,
    connect_time: Duration,
    opened: Arc<AtomicU64>,
) -> Result<Connector, NetworkError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_time));
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    let transport = match &network.proxy {
        None => Transport::Direct(tcp),
        Some(proxy) => Transport::Proxied(tunnel(proxy, tcp)?),
    };
    let inner = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls_config(network)?)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(transport);
    Ok(Connector {
        inner,
        connect_time,
        opened,
    })
}

fn tls_config(network: &NetworkConfig) -> Result<ClientConfig, NetworkError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = &network.ca_file {
        let bad = |reason: String| NetworkError::CaFile {
            path: path.clone(),
            reason,
        };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| bad(error.to_string()))?;
        if certificates.is_empty() {
            return Err(bad("it holds no certificate".to_owned()));
        }
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| bad(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn tunnel(proxy: &str, tcp: HttpConnector) -> Result<Tunnel<HttpConnector>, NetworkError> {
    let uri: Uri = proxy.parse().map_err(|_| NetworkError::Proxy)?;
    let authority = uri.authority().ok_or(NetworkError::Proxy)?;
    let Some((user, host)) = authority.as_str().rsplit_once('@') else {
        return Ok(Tunnel::new(uri, tcp));
    };
    let target = format!("{}://{host}", uri.scheme_str().unwrap_or("http"));
    let target: Uri = target.parse().map_err(|_| NetworkError::Proxy)?;
    let credentials = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(user)))
        .map_err(|_| NetworkError::Proxy)?;
    Ok(Tunnel::new(target, tcp).with_auth(credentials))
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Stream>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut inner = self.inner.clone();
        let (connect_time, opened) = (self.connect_time, self.opened.clone());
        let connecting = async move {
            loop {
                match inner.call(uri.clone()).await {
                    // Not the provider's fault: it has until the time is up to get better.
                    Err(error) if is_from_exhaustion(error.as_ref()) => {
                        tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                    }
                    connected => return connected,
                }
            }
        };
        Box::pin(async move {
            let stream = tokio::time::timeout(connect_time, connecting)
                .await
                .map_err(|_| format!("no connection within {} ms", connect_time.as_millis()))??;
            opened.fetch_add(1, Ordering::Relaxed);
            Ok(stream)
        })
    }
}

impl Service<Uri> for Transport {
    type Response = Stream;
    type Error = BoxError;
    type Future = BoxFuture<Stream>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Self::Proxied(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self {
            Self::Direct(tcp) => {
                let connecting = tcp.call(uri);
                Box::pin(async move { Ok(connecting.await?) })
            }
            Self::Proxied(tunnel) => {
                let connecting = tunnel.call(uri);
                Box::pin(async move { Ok(connecting.await?) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_is_no_url_is_refused() {
        let network = NetworkConfig {
            proxy: Some("not a url".to_owned()),
            ca_file: None,
        };
        let built = build_connector(&network, Duration::from_secs(1), Arc::default());
        assert!(matches!(built, Err(NetworkError::Proxy)));
    }
}
