//! The body of an answer: handed over at once, or event by event and broken where a fault says so.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::carrier::Carrier;
use super::shared::InFlight;
use super::socket::{ConnectionControl, ConnectionEnd};
use crate::dialect::stream::Event;
use crate::model::{Break, BreakKind};

/// Time that the last bytes before the connection's end get to leave the socket: a reset discards what
/// has not.
const FLUSH: Duration = Duration::from_millis(10);

/// A piece of a line without end.
static ENDLESS: [u8; 16 * 1024] = [b'e'; 16 * 1024];

/// So many pieces are the end of a line without end, lest a reader that never gives up fill a machine.
const ENDLESS_PIECES: u32 = 4 * 1024;

/// The body of a simulated answer.
pub(super) enum SimBody {
    /// All at once.
    Whole(Option<Bytes>, Option<InFlight>),
    /// Piece by piece.
    Events(Box<EventBody>),
    /// One of these in an odd manner.
    Carried(Box<Carrier>),
}

impl SimBody {
    pub(super) fn whole(bytes: Bytes, in_flight: Option<InFlight>) -> Self {
        Self::Whole(Some(bytes), in_flight)
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes, in_flight) => {
                if let Some(mut in_flight) = in_flight.take() {
                    in_flight.complete();
                }
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Events(events) => events
                .poll_next(cx)
                .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Carried(carrier) => carrier
                .poll_next(cx)
                .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None, None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Events(_) | Self::Carried(_) => SizeHint::default(),
        }
    }
}

/// A body made of events, with the break that a fault asks for.
pub(super) struct EventBody {
    pub(super) events: Box<dyn Iterator<Item = Event> + Send>,
    pub(super) broken: Option<Break>,
    /// Writes the error event after so many events.
    pub(super) error_event: Box<dyn Fn(u64) -> Bytes + Send>,
    /// Time between two paced events.
    pub(super) pace: Duration,
    pub(super) in_flight: Option<InFlight>,
    pub(super) control: Arc<ConnectionControl>,
    pub(super) state: State,
}

/// How far an [`EventBody`] has come.
pub(super) enum State {
    /// So many events were sent.
    Sending(u64),
    /// An event waits for its time.
    Waiting(u64, Event, Pin<Box<Sleep>>),
    /// The last bytes leave before the connection ends.
    Ending(Pin<Box<Sleep>>, ConnectionEnd),
    /// So many pieces of a line without end are still to come.
    Endless(u32),
    /// Nothing comes any more, and the stream stays open.
    Silent,
    /// The end.
    Over,
}

impl EventBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.state {
                State::Sending(sent) => {
                    let sent = *sent;
                    if let Some(last) = self.break_off(sent) {
                        return Poll::Ready(Some(last));
                    }
                    if !matches!(self.state, State::Sending(_)) {
                        continue;
                    }
                    match self.events.next() {
                        Some(event) if event.is_paced && !self.pace.is_zero() => {
                            let sleep = Box::pin(tokio::time::sleep(self.pace));
                            self.state = State::Waiting(sent, event, sleep);
                        }
                        Some(event) => return Poll::Ready(Some(self.send(sent, &event))),
                        None => self.complete(),
                    }
                }
                State::Waiting(sent, event, sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    let (sent, event) = (*sent, event.clone());
                    return Poll::Ready(Some(self.send(sent, &event)));
                }
                State::Ending(sleep, how) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.control.end(*how);
                    self.state = State::Silent;
                }
                State::Endless(0) => self.state = State::Silent,
                State::Endless(pieces) => {
                    *pieces -= 1;
                    return Poll::Ready(Some(Bytes::from_static(&ENDLESS)));
                }
                State::Silent => return Poll::Pending,
                State::Over => return Poll::Ready(None),
            }
        }
    }

    fn send(&mut self, sent: u64, event: &Event) -> Bytes {
        if event.output_tokens > 0
            && let Some(in_flight) = &mut self.in_flight
        {
            in_flight.produce(event.output_tokens);
        }
        self.state = State::Sending(sent + 1);
        event.bytes.clone()
    }

    /// Breaks the answer off if its time has come; returns the bytes that a break still sends.
    fn break_off(&mut self, sent: u64) -> Option<Bytes> {
        let due = self.broken.take_if(|broken| broken.after == sent)?;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.breaks();
        }
        let ending = |how| State::Ending(Box::pin(tokio::time::sleep(FLUSH)), how);
        let (state, last_words) = match due.how {
            BreakKind::Reset => (ending(ConnectionEnd::Reset), None),
            BreakKind::Close => (ending(ConnectionEnd::Close(b"")), None),
            BreakKind::Stall => (State::Silent, None),
            BreakKind::EndlessLine => {
                let begin = Bytes::from_static(b"data: ");
                (State::Endless(ENDLESS_PIECES), Some(begin))
            }
            BreakKind::Truncate => (State::Over, None),
            BreakKind::Error(_) => (State::Over, Some((self.error_event)(sent))),
        };
        if matches!(state, State::Over) {
            self.in_flight = None;
        }
        self.state = state;
        last_words
    }

    fn complete(&mut self) {
        self.state = State::Over;
        if let Some(mut in_flight) = self.in_flight.take() {
            in_flight.complete();
        }
    }
}
