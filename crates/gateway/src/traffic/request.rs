//! A client's request, taken in whole: read, looked at, ready to be sent as often as needed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue, Request};
use hyper::body::Incoming;
use keypool_pool::{Timestamp, TraceRecord, Urgency};
use keypool_wire::{Dialect, Endpoint, GeminiPath, OwnError, Peek, PeekError, take_subagent_model};

use crate::answer::Retry;
use crate::auth::TenantRef;
use crate::config::GatewayConfig;
use crate::limits;
use crate::routing::Wanted;
use crate::telemetry::Traces;
use crate::traffic::headers;
use crate::traffic::intake::{BodyShare, read_body};
use crate::traffic::options::Options;

/// What is still of interest about a request while its answer is on its way. It holds nothing of the
/// request's bytes, since an open stream would keep them for as long as it lasts.
#[derive(Debug)]
pub(crate) struct RequestFacts {
    /// Names the request in logs and in the answer's headers.
    pub id: String,
    /// What is asked for.
    pub endpoint: Endpoint,
    /// What a look at the body told, and at the path where that says more.
    pub peek: Peek,
    /// Whether a stream goes to the client as one JSON array: Gemini's API does so unless its query asks for
    /// events.
    pub is_array: bool,
    /// What its trace will tell of it, if anybody records traces.
    pub trace: Option<TraceBegin>,
}

/// What is known of a request's trace when it comes in.
#[derive(Debug)]
pub(crate) struct TraceBegin {
    hub: Arc<Traces>,
    at: Timestamp,
    tenant: String,
    urgency: Urgency,
    session: Option<u64>,
}

/// What is known of a request's trace when it has ended.
#[derive(Debug)]
pub(crate) struct TraceEnd<'a> {
    /// The provider that answered, or was asked last.
    pub provider: &'a str,
    /// The model, as the provider names it.
    pub model: &'a str,
    /// What was used; `None`: there was no answer.
    pub usage: Option<Used>,
    /// Status of the answer to the client.
    pub status: u16,
    /// Attempts that were made.
    pub attempts: u32,
    /// How long it waited for room.
    pub queued: Duration,
    /// From the last attempt's begin to the end of the answer.
    pub latency: Duration,
}

/// What an answer used, and whether any of it is a guess.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Tokens by kind.
    pub usage: keypool_pool::Usage,
    /// The provider did not state all of it.
    pub estimated: bool,
}

impl RequestFacts {
    /// Whether a stream is asked for where one can be had.
    pub(crate) const fn is_streamed(&self) -> bool {
        self.peek.stream && self.endpoint.streams()
    }

    /// Whether the client gets an event stream.
    pub(crate) const fn is_event_stream(&self) -> bool {
        self.is_streamed() && !self.is_array
    }

    /// Tells whoever records traces how the request ended.
    pub(crate) fn trace(&self, end: &TraceEnd<'_>) {
        let Some(begin) = &self.trace else {
            return;
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let Used { usage, estimated } = end.usage.unwrap_or_default();
        let prompt = usage.prompt();
        begin.hub.publish(TraceRecord {
            at: begin.at,
            provider: end.provider.to_owned(),
            model: end.model.to_owned(),
            input_tokens: if prompt == 0 {
                self.peek.input_tokens
            } else {
                prompt
            },
            cached_tokens: usage.cache_read_tokens,
            output_tokens: usage.output_tokens,
            estimated: estimated || prompt == 0,
            max_output_tokens: self.peek.max_output_tokens,
            stream: self.peek.stream,
            session: begin.session,
            tenant: Some(begin.tenant.clone()),
            urgency: begin.urgency,
            status: end.status,
            attempts: end.attempts,
            queued_ms: millis(end.queued),
            latency_ms: millis(end.latency),
        });
    }
}

/// Everything about one client request that its attempts need.
#[derive(Debug)]
pub(crate) struct ClientRequest<'a> {
    /// What outlives the attempts.
    pub facts: Arc<RequestFacts>,
    /// The body as it came, kept for replay until an answer has begun.
    pub body: Bytes,
    /// What the body takes of the memory for all of them, until then.
    _share: BodyShare,
    /// What stands in the path, in Gemini's API.
    pub in_path: Option<InPath>,
    /// The headers that go upstream.
    pub headers: HeaderMap,
    /// The query string that goes upstream.
    pub query: Option<String>,
    /// Whose it is.
    pub tenant: TenantRef<'a>,
    /// How soon it wants to be served when not all can be at once.
    pub urgency: Urgency,
    /// The conversation that it belongs to, in its tenant's own namespace: as the client names it, else
    /// by how it begins.
    pub session: Option<u64>,
    /// Only keys with all of these tags may serve it.
    pub tags: Vec<String>,
    /// The model that the prompt of a subagent names.
    subagent_model: Option<String>,
    /// When its head arrived.
    pub arrived: Timestamp,
    /// Past this instant no attempt begins or is waited for.
    pub deadline: Timestamp,
}

/// What a path says in Gemini's API, where others have it in the body.
#[derive(Debug)]
pub(crate) struct InPath {
    /// The model that the client named.
    pub model: String,
    /// The version of the API.
    pub version: &'static str,
}

/// What identifies a request before its body is read.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The request's id.
    pub id: String,
    /// When its head arrived.
    pub at: Timestamp,
}

impl<'a> ClientRequest<'a> {
    /// Reads the body, within its share of the memory for all bodies, and looks at it.
    pub(crate) async fn accept(
        arrival: Arrival,
        tenant: TenantRef<'a>,
        endpoint: Endpoint,
        request: Request<Incoming>,
        mut share: BodyShare,
        config: &GatewayConfig,
        traces: &Arc<Traces>,
    ) -> Result<Self, (OwnError, Retry)> {
        let permanent = |error: OwnError| (error, Retry::Never);
        let (parts, body) = request.into_parts();
        let options = Options::read(&parts.headers).map_err(permanent)?;
        check_encoding(&parts.headers).map_err(permanent)?;
        let time = config.timeouts.client_body;
        let body = read_body(body, &config.bounds, time, &mut share).await?;
        let mut peek =
            keypool_wire::peek(endpoint, &body).map_err(|error| permanent(peek_error(&error)))?;
        let path = match endpoint.dialect() {
            Dialect::Anthropic | Dialect::OpenAi => None,
            Dialect::Gemini => GeminiPath::parse(parts.uri.path()),
        };
        peek.stream |= path.as_ref().is_some_and(|path| path.stream);
        let asks_for_events = headers::asks_for_events(parts.uri.query());
        // It speaks to whoever routes, so no provider gets to see it.
        let (subagent_model, body) = match take_subagent_model(&body, &mut peek) {
            Some((model, without)) => (Some(model), without),
            None => (None, body),
        };
        let named = options.session.as_deref().map(keypool_wire::session_hash);
        let cached = peek.input_tokens >= limits::CACHED_PREFIX_TOKENS;
        let begins = Some(peek.prefix).filter(|&prefix| prefix != 0 && cached);
        let session = named.or(peek.session).or(begins);
        let session = session.map(|session| in_namespace(tenant.name, session));
        let urgency = options.urgency.unwrap_or(tenant.urgency);
        // Counting tokens uses none, so it is no part of a load.
        let is_load = !endpoint.counts_tokens();
        let trace = (is_load && traces.is_on()).then(|| TraceBegin {
            hub: traces.clone(),
            at: arrival.at,
            tenant: tenant.name.to_owned(),
            urgency,
            session,
        });
        let longest = config.retry.deadline;
        let allowed = options.time.map_or(longest, |time| time.min(longest));
        Ok(Self {
            facts: Arc::new(RequestFacts {
                id: arrival.id,
                endpoint,
                is_array: path.as_ref().is_some_and(|path| path.stream) && !asks_for_events,
                peek,
                trace,
            }),
            in_path: path.map(|path| InPath {
                model: path.model.into_owned(),
                version: path.version,
            }),
            body,
            _share: share,
            headers: headers::for_upstream(&parts.headers),
            query: parts.uri.query().and_then(headers::query_for_upstream),
            tenant,
            urgency,
            session,
            tags: options.tags,
            subagent_model,
            arrived: arrival.at,
            deadline: arrival.at + allowed,
        })
    }

    /// What it says of the model that it wants.
    pub(crate) fn wanted(&self) -> Result<Wanted<'_>, OwnError> {
        let RequestFacts { endpoint, peek, .. } = &*self.facts;
        Ok(Wanted {
            endpoint: *endpoint,
            model: self.model()?,
            subagent: self.subagent_model.as_deref(),
            kind: peek.kind,
            input_tokens: peek.input_tokens,
        })
    }

    /// The model that the client named.
    fn model(&self) -> Result<&str, OwnError> {
        let (named, missing) = match &self.in_path {
            Some(path) => (
                Some(&path.model),
                "the path names no model: write a model, `provider,model` or an alias after `models/`",
            ),
            None => (
                self.facts.peek.model.as_ref().map(|model| &model.name),
                "the body names no model: set `model` to a model, `provider,model` or an alias",
            ),
        };
        named
            .map(String::as_str)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| OwnError {
                status: 400,
                code: "missing_model",
                message: missing.to_owned(),
            })
    }
}

/// Two tenants that name their conversations alike share nothing.
fn in_namespace(tenant: &str, session: u64) -> u64 {
    keypool_wire::session_hash(tenant).rotate_left(1) ^ session
}

/// Refuses a body that is compressed: providers take none, so no client has to send one.
fn check_encoding(headers: &HeaderMap) -> Result<(), OwnError> {
    let encoding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    match encoding {
        None | Some(b"" | b"identity") => Ok(()),
        Some(encoding) => Err(OwnError {
            status: 415,
            code: "encoded_body",
            message: format!(
                "the request body is encoded ({}); send it as it is, without content-encoding",
                keypool_wire::excerpt(&String::from_utf8_lossy(encoding))
            ),
        }),
    }
}

fn peek_error(error: &PeekError) -> OwnError {
    OwnError {
        status: 400,
        code: "invalid_body",
        message: error.to_string(),
    }
}
