//! One client connection: HTTP/1.1 or HTTP/2 without TLS, drained when a stop is asked for.

use std::convert::Infallible;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::limits;
use crate::server::service::Service;

/// Serves a connection until its end.
pub(super) async fn serve_connection(
    stream: TcpStream,
    service: Service,
    mut stopped: watch::Receiver<bool>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::REQUEST_HEAD_TIME)
        .max_buf_size(limits::REQUEST_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_header_list_size(u32::try_from(limits::REQUEST_HEAD_BYTES).unwrap_or(u32::MAX));
    let serving = builder.serve_connection(
        TokioIo::new(stream),
        service_fn(move |request| {
            let service = service.clone();
            // On the heap, so that an open stream does not keep the room of the work that began it.
            Box::pin(async move { Ok::<_, Infallible>(service.serve(request).await) })
        }),
    );
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = until_stopped(&mut stopped) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("client connection ended: {error}");
    }
}

/// Ends when a stop is asked for, or when nobody can ask any more.
pub(super) async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
