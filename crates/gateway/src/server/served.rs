//! A request while it is served, and its answer while it is written: what a connection counts as work.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use super::activity::Activity;
use super::http2::Turn;
use crate::body::{AnswerBody, CutOff};

/// Counts a request as served until it is dropped.
#[derive(Debug)]
pub(super) struct Serving(Arc<Activity>);

/// An answer's body; its request counts as served until it is dropped.
#[derive(Debug)]
pub(super) struct ServedBody {
    body: AnswerBody,
    turn: Option<Arc<Turn>>,
    _serving: Serving,
}

impl Serving {
    /// A request begins, over HTTP/2 if it `is_multiplexed`; it `closes` if it is the last by its client's
    /// own word.
    pub(super) fn begin(activity: &Arc<Activity>, is_multiplexed: bool, closes: bool) -> Self {
        activity.begin_request(is_multiplexed, closes);
        Self(activity.clone())
    }

    /// The answer is there.
    pub(super) fn answer(self, response: Response<AnswerBody>) -> Response<ServedBody> {
        let turn = Turn::of_this_stream();
        if let Some(turn) = &turn {
            turn.hand_over();
        }
        response.map(|body| ServedBody {
            body,
            turn,
            _serving: self,
        })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(turn) = &this.turn {
            match polled {
                Poll::Ready(_) => turn.hand_over(),
                Poll::Pending => turn.take_back(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
