//! A body on its way in an odd manner: behind blanks, in small pieces, compressed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, Sleep};

use super::body::SimBody;
use super::compress::Compressor;
use crate::ContentEncoding;

/// A body, and the manner in which it travels.
pub(super) struct Carrier {
    body: SimBody,
    manner: Manner,
}

enum Manner {
    Blanks(Blanks),
    Pieces(Pieces),
    /// Taken at the end.
    Compressed(Option<Compressor>),
}

struct Blanks {
    blank: Bytes,
    /// How many are to come; without end when absent.
    left: Option<u64>,
    every: Duration,
    /// Until the next one, or until the body.
    sleep: Option<Pin<Box<Sleep>>>,
}

struct Pieces {
    size: usize,
    delay: Duration,
    /// What the body has given and is still to go out.
    rest: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Carrier {
    fn carry(body: SimBody, manner: Manner) -> SimBody {
        SimBody::Carried(Box::new(Self { body, manner }))
    }

    /// `body` behind so many blanks.
    pub(super) fn behind_blanks(
        body: SimBody,
        blank: &'static str,
        times: Option<u64>,
        every: Duration,
    ) -> SimBody {
        let blanks = Blanks {
            blank: Bytes::from_static(blank.as_bytes()),
            left: times,
            every,
            sleep: Some(Box::pin(tokio::time::sleep(every))),
        };
        Self::carry(body, Manner::Blanks(blanks))
    }

    /// `body` in pieces of `size` bytes.
    pub(super) fn in_pieces(body: SimBody, size: usize, delay: Duration) -> SimBody {
        let pieces = Pieces {
            size: size.max(1),
            delay,
            rest: Bytes::new(),
            sleep: None,
        };
        Self::carry(body, Manner::Pieces(pieces))
    }

    /// `body` in a content encoding.
    pub(super) fn compressed(body: SimBody, encoding: ContentEncoding) -> SimBody {
        Self::carry(body, Manner::Compressed(Some(Compressor::new(encoding))))
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let body = &mut self.body;
        match &mut self.manner {
            Manner::Blanks(blanks) => blanks.poll_next(body, cx),
            Manner::Pieces(pieces) => pieces.poll_next(body, cx),
            Manner::Compressed(compressor) => {
                let Some(writer) = compressor else {
                    return Poll::Ready(None);
                };
                Poll::Ready(match ready!(poll_bytes(body, cx)) {
                    Some(bytes) => Some(writer.write(&bytes)),
                    None => compressor.take().map(Compressor::finish),
                })
            }
        }
    }
}

impl Blanks {
    fn poll_next(&mut self, body: &mut SimBody, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(sleep) = &mut self.sleep else {
            return poll_bytes(body, cx);
        };
        ready!(sleep.as_mut().poll(cx));
        if self.left == Some(0) {
            self.sleep = None;
            return poll_bytes(body, cx);
        }
        sleep.as_mut().reset(Instant::now() + self.every);
        self.left = self.left.map(|left| left - 1);
        Poll::Ready(Some(self.blank.clone()))
    }
}

impl Pieces {
    fn poll_next(&mut self, body: &mut SimBody, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        while self.rest.is_empty() {
            match ready!(poll_bytes(body, cx)) {
                Some(bytes) => self.rest = bytes,
                None => return Poll::Ready(None),
            }
        }
        let size = self.size.min(self.rest.len());
        self.sleep = Some(Box::pin(tokio::time::sleep(self.delay)));
        Poll::Ready(Some(self.rest.split_to(size)))
    }
}

fn poll_bytes(body: &mut SimBody, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
    let Ok(frame) = ready!(Pin::new(body).poll_frame(cx)).transpose();
    Poll::Ready(frame.and_then(|frame| frame.into_data().ok()))
}
