//! An attempt that failed before its answer began: what it says of the key and of the request, what it
//! costs, and what the client is told if nothing cures it.

use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode};
use keypool_pool::{
    Charge, CooldownScope, ErrorNote, Failed, FaultKind, KeyId, Suspicion, Timestamp, Usage,
    Verdict,
};
use keypool_wire::{
    Headers, Judgement, KeyVerdict, OwnError, RequestVerdict, Scope, StreamError, judge,
};

use crate::answer::{Retry, error_response};
use crate::body::AnswerBody;
use crate::config::Credential;
use crate::provider::UpstreamKey;
use crate::secret::Secret;
use crate::traffic::attempt::answered;
use crate::traffic::opening::Opening;
use crate::traffic::settlement::{Ending, Settlement};
use crate::traffic::translation::foreign_error;

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    /// The key it failed with.
    pub key: KeyId,
    /// The key's mask, for the log.
    pub mask: String,
    /// A stable code: why it failed.
    pub code: String,
    /// What it means for the request.
    pub failed: Failed,
    /// What kind of trouble it was, should it reach the client.
    pub kind: FailureKind,
    /// What the client is answered if nothing cures it.
    answer: FailureAnswer,
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
    /// What the provider said, in the client's dialect.
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
    pub(super) fn judged(settlement: Settlement, mut parts: Parts, body: Bytes) -> Self {
        let status = parts.status.as_u16();
        // What is noted of it is shown to operators.
        let body = without_secret(body, &settlement.key);
        settlement.observe_error(status, &body);
        let now = settlement.provider.pool.time().now();
        let kind = settlement.provider.settings().kind;
        let judged = {
            let headers = upstream_headers(&parts.headers);
            judge(kind, status, &headers, &body, now.as_unix_micros())
        };
        let is_own = kind.words_errors_as_its_dialect();
        let answer = if is_dialect_error(&body) || (!is_own && keypool_wire::is_json_object(&body))
        {
            let asked = settlement.request.endpoint;
            let body = match foreign_error(asked, settlement.endpoint, is_own, status, &body) {
                Some(translated) => {
                    Opening::Object.mend_type(&mut parts.headers);
                    translated
                }
                None => body,
            };
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
        let fault = FaultKind::Unreachable;
        Self::faulted(settlement, fault, Charge::Nothing, own, reason)
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

    /// As [`Self::garbage`], where its words may be those of an answer, and are left out.
    pub(super) fn unreadable(settlement: Settlement, reason: &str) -> Self {
        let own = OwnError {
            status: 502,
            code: "upstream_garbage",
            message: format!("the provider's answer cannot be read: {reason}"),
        };
        let (fault, charge) = (FaultKind::Garbage, Charge::AsReserved);
        Self::faulted(settlement, fault, charge, own, reason)
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
                let mut response = answered(&parts, AnswerBody::whole(body));
                crate::answer::advise(&mut response, retry);
                response
            }
            FailureAnswer::Own(error) => error_response(dialect, &error, retry),
        }
    }

    /// Whether it is the client's mistake, so that the provider works.
    #[must_use]
    pub(super) fn is_client_s(&self) -> bool {
        self.kind == FailureKind::Request
    }

    /// What the client should do if nothing cures it and nobody knows when something will: its own mistake it
    /// would only make again, unless the status says that it came at the wrong time.
    #[must_use]
    pub(super) fn advice(&self) -> Retry {
        let status = match &self.answer {
            FailureAnswer::Upstream(parts, _) => parts.status.as_u16(),
            FailureAnswer::Own(error) => error.status,
        };
        let may_pass = matches!(status, 408 | 409 | 424 | 425 | 429);
        if self.is_client_s() && (400..500).contains(&status) && !may_pass {
            Retry::Never
        } else {
            Retry::Unsaid
        }
    }

    /// Whether the client is told that the service is unavailable for now.
    #[must_use]
    pub(super) fn is_temporary(&self) -> bool {
        match &self.answer {
            FailureAnswer::Upstream(parts, _) => parts.status == StatusCode::SERVICE_UNAVAILABLE,
            FailureAnswer::Own(error) => error.status == 503,
        }
    }

    fn from_judgement(
        settlement: Settlement,
        judged: Judgement,
        status: Option<u16>,
        answer: FailureAnswer,
    ) -> Self {
        let (verdict, failed) = meaning_of(&judged, status);
        let failure = Self {
            key: settlement.key.id,
            mask: settlement.key.mask.clone(),
            code: judged.code.clone(),
            failed,
            kind: kind_of(&judged.key, status),
            answer,
        };
        let note = ErrorNote {
            status,
            code: judged.code,
            message: judged.message,
        };
        settle(
            settlement,
            Blame {
                verdict,
                charge: Charge::RequestOnly,
                note,
                grew_too_fast: judged.growth,
            },
        );
        failure
    }

    fn faulted(
        settlement: Settlement,
        fault: FaultKind,
        charge: Charge,
        own: OwnError,
        reason: &str,
    ) -> Self {
        let suspicion = Suspicion::Fault(fault);
        let note = ErrorNote {
            status: None,
            code: own.code.to_owned(),
            message: reason.to_owned(),
        };
        let failure = Self {
            key: settlement.key.id,
            mask: settlement.key.mask.clone(),
            code: own.code.to_owned(),
            failed: Failed::Suspected(suspicion),
            kind: match fault {
                FaultKind::Timeout => FailureKind::Timeout,
                _ => FailureKind::Broken,
            },
            answer: FailureAnswer::Own(own),
        };
        settle(
            settlement,
            Blame {
                verdict: Verdict::Suspected(suspicion),
                charge,
                note,
                grew_too_fast: false,
            },
        );
        failure
    }
}

fn settle(settlement: Settlement, blame: Blame) {
    settlement.settle(Ending {
        error: Some(blame.note),
        grew_too_fast: blame.grew_too_fast,
        ..Ending::new(blame.verdict, blame.charge, Usage::default())
    });
}

/// What a judgement says of the key, and of the request. What may be the key's fault is a suspicion until
/// another key has served the request.
fn meaning_of(judged: &Judgement, status: Option<u16>) -> (Verdict, Failed) {
    let (verdict, failed) = match judged.key {
        KeyVerdict::Blameless => (Verdict::ClientError, Failed::Key),
        KeyVerdict::Overloaded => (Verdict::Overloaded, Failed::Overloaded),
        KeyVerdict::NotServed => (Verdict::NotServed, Failed::Provider),
        KeyVerdict::Fault => suspected(Suspicion::Fault(server_fault(status))),
        KeyVerdict::Suspect => suspected(Suspicion::ModelDenied),
        KeyVerdict::Invalid { scope } => suspected(refusal_of(scope)),
        KeyVerdict::RateLimited { .. } => (verdict_of(&judged.key), Failed::Quota),
        KeyVerdict::OutOfCredit { .. } | KeyVerdict::ModelDenied => {
            (verdict_of(&judged.key), Failed::Key)
        }
    };
    match judged.request {
        RequestVerdict::NextKey => (verdict, failed),
        RequestVerdict::NextProvider => (verdict, Failed::Provider),
        RequestVerdict::SameKeyOnce => (verdict, Failed::Conflict),
        RequestVerdict::Client => (verdict, Failed::Request),
    }
}

const fn suspected(suspicion: Suspicion) -> (Verdict, Failed) {
    (Verdict::Suspected(suspicion), Failed::Suspected(suspicion))
}

fn server_fault(status: Option<u16>) -> FaultKind {
    if status == Some(504) {
        FaultKind::Timeout
    } else {
        FaultKind::ServerError
    }
}

/// The pool's verdict where no other key will be tried, so that nothing can confirm a suspicion.
pub(super) fn verdict_of(verdict: &KeyVerdict) -> Verdict {
    let at = |micros: Option<u64>| micros.map(Timestamp::from_unix_micros);
    match *verdict {
        KeyVerdict::Blameless | KeyVerdict::Suspect => Verdict::ClientError,
        KeyVerdict::Overloaded => Verdict::Overloaded,
        KeyVerdict::NotServed => Verdict::NotServed,
        KeyVerdict::Fault => Verdict::Fault(FaultKind::ServerError),
        KeyVerdict::RateLimited {
            until_unix_micros,
            scope,
        } => Verdict::RateLimited {
            until: at(until_unix_micros),
            scope: scope_of(scope),
        },
        KeyVerdict::Invalid { scope } => Verdict::Suspected(refusal_of(scope)),
        KeyVerdict::OutOfCredit {
            until_unix_micros,
            scope,
        } => Verdict::OutOfCredit {
            until: at(until_unix_micros),
            scope: scope_of(scope),
        },
        KeyVerdict::ModelDenied => Verdict::ModelDenied,
    }
}

const fn refusal_of(scope: Scope) -> Suspicion {
    match scope {
        Scope::Key | Scope::KeyModel => Suspicion::Invalid,
        Scope::Group | Scope::GroupModel => Suspicion::AccountInvalid,
    }
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
        KeyVerdict::Blameless | KeyVerdict::Suspect | KeyVerdict::NotServed => FailureKind::Request,
        KeyVerdict::Overloaded => FailureKind::Overload,
        KeyVerdict::Fault if status == Some(504) => FailureKind::Timeout,
        KeyVerdict::Fault => FailureKind::Server,
        KeyVerdict::RateLimited { .. } => FailureKind::Quota,
        KeyVerdict::Invalid { .. } | KeyVerdict::OutOfCredit { .. } | KeyVerdict::ModelDenied => {
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

/// The body with the key's mask wherever it quotes a secret of the key's: some servers repeat what they
/// refuse, and neither clients nor notes may show it.
pub(super) fn without_secret(body: Bytes, key: &UpstreamKey) -> Bytes {
    let token = key.proof.token();
    let exposed = |secret: &'_ Secret| secret.expose().to_owned();
    let secrets: Vec<String> = match &key.entry.credential {
        Credential::Open => return body,
        Credential::Key | Credential::Bearer => vec![exposed(&key.entry.secret)],
        Credential::Aws(aws) => std::iter::once(&aws.secret_access_key)
            .chain(&aws.session_token)
            .map(exposed)
            .collect(),
        Credential::ServiceAccount(_) => token.into_iter().collect(),
    };
    let Ok(text) = std::str::from_utf8(&body) else {
        return body;
    };
    if !secrets.iter().any(|secret| text.contains(secret)) {
        return body;
    }
    let hidden = secrets.iter().fold(text.to_owned(), |text, secret| {
        text.replace(secret, &key.mask)
    });
    hidden.into()
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
