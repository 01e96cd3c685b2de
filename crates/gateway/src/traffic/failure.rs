//! An attempt that failed before its answer began: who is to blame, what it costs, what comes next.

use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, Response};
use keypool_pool::{Charge, CooldownScope, ErrorNote, FaultKind, KeyId, Timestamp, Usage, Verdict};
use keypool_wire::{
    Headers, Judgement, KeyVerdict, OwnError, RequestVerdict, Scope, StreamError, judge,
};

use crate::answer::{Retry, error_response};
use crate::body::AnswerBody;
use crate::provider::UpstreamKey;
use crate::traffic::attempt::answer;
use crate::traffic::settlement::{Ending, Settlement};

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    /// The key it failed with.
    pub key: KeyId,
    /// The key's mask, for the log.
    pub mask: String,
    /// A stable code: why it failed.
    pub code: String,
    /// What can be done for the request.
    pub cure: Cure,
    /// What kind of trouble it was, should it reach the client.
    pub kind: FailureKind,
    /// What the client is answered if nothing cures it.
    answer: FailureAnswer,
    /// Set when the key is blamed only if another key serves the same request.
    suspicion: Option<Suspicion>,
}

/// A lease whose key is blamed only if another key serves the same request. Dropped, it leaves the
/// key alone.
#[derive(Debug)]
struct Suspicion {
    settlement: Option<Box<Settlement>>,
    code: String,
}

/// What can be done for a request whose attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// Another key may serve it.
    OtherKey,
    /// The same key may, once more.
    SameKeyOnce,
    /// Nothing: the request itself is at fault.
    None,
}

/// Kinds of trouble, as a client would be told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The request is at fault.
    Request,
    /// The key has no quota left for now.
    Quota,
    /// The key is dead, without money, or barred.
    Key,
    /// The provider is overloaded for everybody.
    Overload,
    /// The provider answered with an error of its own.
    Server,
    /// The provider did not answer in time.
    Timeout,
    /// The provider could not be reached, broke off, or sent something that is no answer.
    Broken,
}

#[derive(Debug)]
enum FailureAnswer {
    /// The provider's own words, in its dialect, which is the client's.
    Upstream(Box<Parts>, Bytes),
    /// The gateway's words.
    Own(OwnError),
}

/// How a failed attempt is settled.
struct Blame {
    verdict: Verdict,
    charge: Charge,
    note: ErrorNote,
    grew_too_fast: bool,
}

impl Failure {
    /// The provider answered with an error status.
    pub(super) fn judged(settlement: Settlement, parts: Parts, body: Bytes) -> Self {
        let status = parts.status.as_u16();
        settlement.observe_error(status, &body);
        let now = settlement.provider.pool.time().now();
        let kind = settlement.provider.settings().kind;
        let judged = {
            let headers = upstream_headers(&parts.headers);
            judge(kind, status, &headers, &body, now.as_unix_micros())
        };
        let answer = if is_dialect_error(&body) {
            let body = without_secret(body, &settlement.key);
            FailureAnswer::Upstream(Box::new(parts), body)
        } else {
            FailureAnswer::Own(OwnError {
                status: 502,
                code: "upstream_error",
                message: format!(
                    "the provider answered {status} with something that is no error of its API: {}",
                    judged.message
                ),
            })
        };
        Self::from_judgement(settlement, judged, Some(status), answer)
    }

    /// The first event of a stream was an error.
    pub(super) fn in_stream(settlement: Settlement, error: &StreamError) -> Self {
        let kind = settlement.provider.settings().kind;
        let now = settlement.provider.pool.time().now();
        let judged = error.judge(kind, now.as_unix_micros());
        let answer = FailureAnswer::Own(OwnError {
            status: error.status,
            code: "upstream_stream_error",
            message: format!("the provider answered with an error: {}", error.message),
        });
        Self::from_judgement(settlement, judged, Some(error.status), answer)
    }

    /// No connection, so the provider never saw the request.
    pub(super) fn not_sent(settlement: Settlement, reason: &str) -> Self {
        let own = OwnError {
            status: 502,
            code: "upstream_unreachable",
            message: "the provider could not be reached".to_owned(),
        };
        Self::faulted(settlement, FaultKind::Reset, Charge::Nothing, own, reason)
    }

    /// Nothing came in time.
    pub(super) fn silent(settlement: Settlement, waited: Duration) -> Self {
        let reason = format!("no answer within {} ms", waited.as_millis());
        let own = OwnError {
            status: 504,
            code: "upstream_timeout",
            message: format!("the provider gave {reason}"),
        };
        // It may have run all the same, and may be billed.
        Self::faulted(
            settlement,
            FaultKind::Timeout,
            Charge::AsReserved,
            own,
            &reason,
        )
    }

    /// The connection broke, or what came could not be read.
    pub(super) fn broken(settlement: Settlement, fault: FaultKind, reason: &str) -> Self {
        let own = OwnError {
            status: 502,
            code: "upstream_broken",
            message: format!("the provider's answer broke off: {reason}"),
        };
        Self::faulted(settlement, fault, Charge::AsReserved, own, reason)
    }

    /// A success status with a body that is no answer.
    pub(super) fn garbage(settlement: Settlement, parts: &Parts, body: &Bytes) -> Self {
        let excerpt = keypool_wire::excerpt(&String::from_utf8_lossy(start_of(body)));
        let reason = format!(
            "{} with a body that is no JSON: {excerpt}",
            parts.status.as_u16()
        );
        let own = OwnError {
            status: 502,
            code: "upstream_garbage",
            message: format!("the provider answered {reason}"),
        };
        Self::faulted(
            settlement,
            FaultKind::Garbage,
            Charge::AsReserved,
            own,
            &reason,
        )
    }

    /// The answer to give when nothing cures it.
    #[must_use]
    pub(super) fn into_response(
        self,
        dialect: keypool_wire::Dialect,
        retry: Retry,
    ) -> Response<AnswerBody> {
        match self.answer {
            FailureAnswer::Upstream(parts, body) => {
                let mut response = answer(&parts, AnswerBody::whole(body));
                crate::answer::advise(&mut response, retry);
                response
            }
            FailureAnswer::Own(error) => error_response(dialect, &error, retry),
        }
    }

    /// Another key served the same request: so the key, and not the request, was at fault.
    pub(super) fn confirm_suspicion(&mut self) {
        if let Some(suspicion) = self.suspicion.take() {
            suspicion.confirm();
        }
    }

    /// Whether its key is blamed only if another key does better.
    #[must_use]
    pub(super) fn is_suspicion(&self) -> bool {
        self.suspicion.is_some()
    }

    fn from_judgement(
        settlement: Settlement,
        judged: Judgement,
        status: Option<u16>,
        answer: FailureAnswer,
    ) -> Self {
        let cure = match judged.request {
            RequestVerdict::NextKey => Cure::OtherKey,
            RequestVerdict::SameKeyOnce => Cure::SameKeyOnce,
            RequestVerdict::Client => Cure::None,
        };
        let note = ErrorNote {
            status,
            code: judged.code.clone(),
            message: judged.message,
        };
        let mut failure = Self {
            key: settlement.key.id,
            mask: settlement.key.mask.clone(),
            code: judged.code,
            cure,
            kind: kind_of(&judged.key, status),
            answer,
            suspicion: None,
        };
        match verdict_of(&judged.key) {
            Some(verdict) => settle(
                settlement,
                Blame {
                    verdict,
                    charge: Charge::RequestOnly,
                    note,
                    grew_too_fast: judged.growth,
                },
            ),
            None => failure.suspicion = Some(Suspicion::new(settlement, note.code)),
        }
        failure
    }

    fn faulted(
        settlement: Settlement,
        fault: FaultKind,
        charge: Charge,
        own: OwnError,
        reason: &str,
    ) -> Self {
        let note = ErrorNote {
            status: None,
            code: own.code.to_owned(),
            message: reason.to_owned(),
        };
        let failure = Self {
            key: settlement.key.id,
            mask: settlement.key.mask.clone(),
            code: own.code.to_owned(),
            cure: Cure::OtherKey,
            kind: match fault {
                FaultKind::Timeout => FailureKind::Timeout,
                _ => FailureKind::Broken,
            },
            answer: FailureAnswer::Own(own),
            suspicion: None,
        };
        settle(
            settlement,
            Blame {
                verdict: Verdict::Fault(fault),
                charge,
                note,
                grew_too_fast: false,
            },
        );
        failure
    }
}

impl Suspicion {
    fn new(settlement: Settlement, code: String) -> Self {
        Self {
            settlement: Some(Box::new(settlement)),
            code,
        }
    }

    fn confirm(mut self) {
        self.end(Verdict::ModelDenied, "another key served this model");
    }

    fn end(&mut self, verdict: Verdict, message: &str) {
        let Some(settlement) = self.settlement.take() else {
            return;
        };
        let code = std::mem::take(&mut self.code);
        let note = ErrorNote {
            status: None,
            code,
            message: message.to_owned(),
        };
        settle(
            *settlement,
            Blame {
                verdict,
                charge: Charge::RequestOnly,
                note,
                grew_too_fast: false,
            },
        );
    }
}

impl Drop for Suspicion {
    fn drop(&mut self) {
        self.end(Verdict::ClientError, "no other key served it either");
    }
}

fn settle(settlement: Settlement, blame: Blame) {
    settlement.settle(Ending {
        error: Some(blame.note),
        grew_too_fast: blame.grew_too_fast,
        ..Ending::new(blame.verdict, blame.charge, Usage::default())
    });
}

/// The pool's verdict; `None` for a suspicion that waits for confirmation.
pub(super) fn verdict_of(verdict: &KeyVerdict) -> Option<Verdict> {
    let at = |micros: Option<u64>| micros.map(Timestamp::from_unix_micros);
    Some(match *verdict {
        KeyVerdict::Suspect => return None,
        KeyVerdict::Blameless => Verdict::ClientError,
        KeyVerdict::Overloaded => Verdict::Overloaded,
        KeyVerdict::Fault => Verdict::Fault(FaultKind::ServerError),
        KeyVerdict::RateLimited {
            until_unix_micros,
            scope,
        } => Verdict::RateLimited {
            until: at(until_unix_micros),
            scope: scope_of(scope),
        },
        KeyVerdict::Invalid => Verdict::Invalid,
        KeyVerdict::OutOfCredit {
            until_unix_micros,
            scope,
        } => Verdict::OutOfCredit {
            until: at(until_unix_micros),
            scope: scope_of(scope),
        },
        KeyVerdict::ModelDenied => Verdict::ModelDenied,
    })
}

fn scope_of(scope: Scope) -> CooldownScope {
    match scope {
        Scope::Key => CooldownScope::Key,
        Scope::KeyModel => CooldownScope::KeyModel,
        Scope::Group => CooldownScope::Group,
        Scope::GroupModel => CooldownScope::GroupModel,
    }
}

fn kind_of(verdict: &KeyVerdict, status: Option<u16>) -> FailureKind {
    match verdict {
        KeyVerdict::Blameless | KeyVerdict::Suspect => FailureKind::Request,
        KeyVerdict::Overloaded => FailureKind::Overload,
        KeyVerdict::Fault if status == Some(504) => FailureKind::Timeout,
        KeyVerdict::Fault => FailureKind::Server,
        KeyVerdict::RateLimited { .. } => FailureKind::Quota,
        KeyVerdict::Invalid | KeyVerdict::OutOfCredit { .. } | KeyVerdict::ModelDenied => {
            FailureKind::Key
        }
    }
}

/// Every dialect's error is one JSON object with an `error` in it; anything else comes from a proxy
/// in between and would only puzzle the client's SDK.
fn is_dialect_error(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Envelope {
        #[serde(rename = "error")]
        _error: serde::de::IgnoredAny,
    }
    serde_json::from_slice::<Envelope>(body).is_ok()
}

/// The body with the key's mask wherever it quotes the key: some servers repeat the key that they
/// refuse, and clients may not see it.
fn without_secret(body: Bytes, key: &UpstreamKey) -> Bytes {
    let secret = key.entry.secret.expose();
    match std::str::from_utf8(&body) {
        Ok(text) if text.contains(secret) => text.replace(secret, &key.mask).into(),
        _ => body,
    }
}

/// Enough of a body for an excerpt.
fn start_of(body: &[u8]) -> &[u8] {
    const ENOUGH: usize = 1024;
    body.get(..ENOUGH).unwrap_or(body)
}

/// An answer's headers, as the dialects read them.
pub(crate) fn upstream_headers(headers: &HeaderMap) -> impl Headers + '_ {
    struct Map<'a>(&'a HeaderMap);
    impl Headers for Map<'_> {
        fn get(&self, name: &str) -> Option<&str> {
            self.0.get(name)?.to_str().ok()
        }
    }
    Map(headers)
}
