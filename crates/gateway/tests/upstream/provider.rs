//! A provider behind TLS with a certificate of its own, that answers every request alike.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rcgen::date_time_ymd;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// What the provider allows on one HTTP/2 connection, as most do.
pub(crate) const STREAMS_PER_CONNECTION: u32 = 100;

const ANSWER: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],
    "stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1}}"#;

/// What the provider speaks.
#[derive(Clone, Copy)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What the provider shows of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Certificate {
    /// A right one.
    Valid,
    /// One that was right years ago.
    Expired,
    /// One that will be right in some centuries.
    NotYetValid,
    /// Another host's.
    OtherHost,
}

impl Certificate {
    fn make(self) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        let host = match self {
            Self::OtherHost => "other.example.com",
            _ => "localhost",
        };
        let mut parameters = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        match self {
            Self::Expired => parameters.not_after = date_time_ymd(2020, 1, 1),
            Self::NotYetValid => parameters.not_before = date_time_ymd(4000, 1, 1),
            Self::Valid | Self::OtherHost => {}
        }
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = parameters.self_signed(&signing_key).unwrap();
        rcgen::CertifiedKey { cert, signing_key }
    }
}

pub(crate) struct Provider {
    port: u16,
    directory: tempfile::TempDir,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    versions: Mutex<Vec<Version>>,
    /// How many requests have arrived, for those that wait for the others.
    arrived: watch::Sender<usize>,
}

impl Provider {
    /// Starts one that answers once `together` requests are there.
    pub(crate) async fn start(protocol: Protocol, together: usize) -> Self {
        Self::start_with(Certificate::Valid, protocol, together).await
    }

    /// The same with another certificate, which is its own root all the same.
    pub(crate) async fn start_with(
        certificate: Certificate,
        protocol: Protocol,
        together: usize,
    ) -> Self {
        let own = certificate.make();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), own.cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .unwrap();
        tls.alpn_protocols = match protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        tokio::spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            seen.clone(),
            together,
        ));
        Self {
            port,
            directory,
            seen,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn versions(&self) -> Vec<Version> {
        self.seen.versions.lock().clone()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, seen: Arc<Seen>, together: usize) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, seen) = (tls.clone(), seen.clone());
        tokio::spawn(async move {
            // A client that does not trust the certificate leaves here.
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            seen.connections.fetch_add(1, Ordering::Relaxed);
            let mut server = auto::Builder::new(TokioExecutor::new());
            server
                .http2()
                .max_concurrent_streams(STREAMS_PER_CONNECTION);
            let service = service_fn(move |request| serve(request, seen.clone(), together));
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(
    request: http::Request<Incoming>,
    seen: Arc<Seen>,
    together: usize,
) -> Result<Response<Full<Bytes>>, Infallible> {
    const PATIENCE: Duration = Duration::from_secs(20);
    seen.versions.lock().push(request.version());
    let _ = request.into_body().collect().await;
    let arrived = seen.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let mut others = seen.arrived.subscribe();
    seen.arrived.send_modify(|most| *most = arrived.max(*most));
    let all = tokio::time::timeout(PATIENCE, others.wait_for(|most| *most >= together)).await;
    let mut response = Response::new(Full::from(ANSWER));
    response
        .headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    if all.is_err() {
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}
