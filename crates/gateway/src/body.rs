//! The body of an answer to a client.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};

use crate::traffic::deferred::Deferred;
use crate::traffic::relay::Relay;

/// Whole, relayed from an upstream, or written by an admin route.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// All there is.
    Whole(Full<Bytes>),
    /// Bytes as they come from an upstream.
    Relayed(Box<Relay>),
    /// Begun while the request still waited for room.
    Deferred(Box<Deferred>),
    /// What an admin route writes.
    Admin(axum::body::Body),
}

/// An answer was cut off: the connection is closed without a proper end.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
pub(crate) struct CutOff;

impl AnswerBody {
    /// A body that is all there.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            Self::Whole(body) => {
                Pin::new(&mut body.map_err(|never: Infallible| match never {})).poll_frame(cx)
            }
            Self::Relayed(relay) => Pin::new(relay.as_mut()).poll_frame(cx),
            Self::Deferred(deferred) => Pin::new(deferred.as_mut()).poll_frame(cx),
            Self::Admin(body) => Pin::new(&mut body.map_err(|_| CutOff)).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Relayed(relay) => relay.is_end_stream(),
            Self::Deferred(deferred) => deferred.is_end_stream(),
            Self::Admin(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Relayed(_) | Self::Deferred(_) => SizeHint::default(),
            Self::Admin(body) => body.size_hint(),
        }
    }
}
