//! The headers of an answer, apart from those that speak of bytes: one implementation for the server and
//! for virtual time, or a pool would be judged by headers that no socket carries.
//!
//! Worked example: an Anthropic answer with a limit of 50 requests carries
//! `anthropic-organization-id`, `anthropic-ratelimit-requests-limit: 50`, `…-remaining: 49` and
//! `…-reset: 2027-01-15T08:00:02Z`; a refusal the same and `retry-after: 2`.

use super::{Header, Model, ProviderError, Quota, Reply, Ticket, Verdict};
use crate::dialect::ids::Mark;
use crate::dialect::{anthropic, odd_headers, quota_headers, responses};
use crate::{Dialect, Dimension, SimTime};

/// What an answer owes to its organisation beside headers.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) mark: Mark,
    /// The answer begins with a thinking block.
    pub(crate) thinking: bool,
}

impl Model {
    /// The headers of whatever `verdict` answers: those of an answer or of a refusal. Of an answer
    /// that a script puts word for word they are the ones before its own; a hang or a reset has none.
    pub fn headers_of(&mut self, now: SimTime, verdict: &Verdict) -> Vec<Header> {
        match (&verdict.ticket, &verdict.reply) {
            (Some(ticket), Reply::Grant(_)) => self.headers(now, ticket),
            (Some(ticket), Reply::Refusal(error)) => self.refusal_headers(now, ticket, error),
            (None, Reply::Refusal(error)) => {
                // No ticket, so no key: no error of that kind names a wait.
                error.headers(Dialect::Anthropic)
            }
            (Some(ticket), Reply::Verbatim { .. }) => self.identity_headers(ticket),
            _ => Vec::new(),
        }
    }

    /// The headers of an answer that is granted: whose key it was, and the state of the quota. The
    /// server adds the request's id, `openai-processing-ms`, and what describes the body.
    pub fn headers(&mut self, now: SimTime, ticket: &Ticket) -> Vec<Header> {
        let mut headers = self.identity_headers(ticket);
        headers.extend(self.quota_headers(now, ticket));
        headers
    }

    /// The headers of a refusal: those of an answer, the quota only where the error shows it, and the
    /// wait.
    pub fn refusal_headers(
        &mut self,
        now: SimTime,
        ticket: &Ticket,
        error: &ProviderError,
    ) -> Vec<Header> {
        let mut headers = self.identity_headers(ticket);
        if error.quota_headers {
            headers.extend(self.quota_headers(now, ticket));
        }
        headers.extend(error.headers(ticket.endpoint.dialect()));
        headers
    }

    /// The headers that name the organisation and the workspace or project of the key.
    pub fn identity_headers(&mut self, ticket: &Ticket) -> Vec<Header> {
        let (key, organisation) = self.parties(ticket.key);
        let workspace = key.workspace.clone();
        let mut headers = Vec::with_capacity(16);
        match ticket.endpoint.dialect() {
            Dialect::Anthropic => {
                headers.push(("anthropic-organization-id", organisation.uuid.clone()));
                headers.extend(workspace.map(|workspace| ("anthropic-workspace-id", workspace)));
            }
            Dialect::OpenAi => {
                headers.push(("openai-organization", organisation.config.name.clone()));
                headers.extend(workspace.map(|workspace| ("openai-project", workspace)));
                headers.push(("openai-version", "2020-10-01".to_owned()));
            }
            Dialect::Gemini => {}
        }
        headers
    }

    /// The headers that show the state of the quota, in the style of the organisation; none for the
    /// free endpoints.
    fn quota_headers(&mut self, now: SimTime, ticket: &Ticket) -> Vec<Header> {
        if !ticket.endpoint.is_inference() {
            return Vec::new();
        }
        let quota = self.quota(now, ticket);
        let scaled = self.is_scaled();
        let (_, organisation) = self.parties(ticket.key);
        let (style, odd) = (organisation.config.headers, organisation.config.odd_headers);
        let dialect = ticket.endpoint.dialect();
        let mut headers = quota_headers::render(dialect, style, &quota, now, scaled);
        if odd {
            odd_headers::distort(&mut headers, &mut self.odd_rng);
        }
        headers
    }

    /// The state of the quota that an answer to this request shows: of the organisation's limit and
    /// the key's own the one with less left.
    pub fn quota(&mut self, now: SimTime, ticket: &Ticket) -> Quota {
        let (key, organisation) = self.parties(ticket.key);
        let mut level = |dimension| {
            let shared = organisation.meters(ticket.class).level(now, dimension);
            let own = key.meters.level(now, dimension);
            shared
                .into_iter()
                .chain(own)
                .min_by_key(|level| level.remaining)
        };
        let requests_per_day = level(Dimension::RequestsPerDay);
        Quota {
            requests: level(Dimension::Requests).or(requests_per_day),
            requests_per_day,
            input_tokens: level(Dimension::InputTokens),
            output_tokens: level(Dimension::OutputTokens),
            tokens: level(Dimension::Tokens),
            project_tokens: key.meters.level(now, Dimension::Tokens),
        }
    }

    /// What the state in an answer to this request owes to its organisation.
    pub(crate) fn origin(&mut self, ticket: &Ticket) -> Origin {
        let (_, organisation) = self.parties(ticket.key);
        Origin {
            mark: organisation.mark.clone(),
            thinking: organisation.config.thinking,
        }
    }

    /// The id of the response with which the Responses API answers this request. Only its organisation
    /// takes it back as `previous_response_id`.
    pub fn response_id(&mut self, ticket: &Ticket) -> String {
        responses::response_id(ticket.seed, &self.parties(ticket.key).1.mark)
    }

    /// The signature of the thinking block with which an answer to this request begins, where the
    /// organisation thinks. Only its organisation takes it back.
    pub fn thinking_signature(&mut self, ticket: &Ticket) -> String {
        anthropic::thinking_signature(ticket.seed, &self.parties(ticket.key).1.mark)
    }
}
