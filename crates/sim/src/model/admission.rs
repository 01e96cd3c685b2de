//! Letting a request in, counting it while it lasts, letting it go.

use super::charging::Tariff;
use super::meters::{Blocked, Cost, later};
use super::refusals::{self, Context};
use super::reply::Admitted;
use super::{Ending, Grant, Model, ProviderError, Quota, Request, Ticket, Usage};
use crate::dialect::errors;
use crate::{Dialect, Dimension, Endpoint, SimTime};

impl Model {
    /// Lets a request in if every limit has room, and charges it.
    pub(super) fn admit(
        &mut self,
        now: SimTime,
        endpoint: Endpoint,
        request: &Request,
        ticket: &mut Ticket,
    ) -> Result<Grant, ProviderError> {
        let dialect = endpoint.dialect();
        let output = self.planned_output(endpoint, request);
        let (_, organisation) = self.parties(ticket.key);
        let names_model = !matches!(endpoint, Endpoint::Models(_));
        if names_model && !organisation.offers(&request.model) {
            self.charge_failure(now, ticket.key, endpoint, &request.model);
            return Err(errors::unknown_model(dialect, &request.model));
        }
        if !endpoint.is_inference() {
            let usage = Usage {
                input: request.input_tokens,
                ..Usage::default()
            };
            return Ok(Grant::new(usage, request));
        }
        let class = organisation.class_of(&request.model);
        let tariff = Tariff::new(
            endpoint,
            request,
            organisation.config.input_estimate_percent,
        );
        if let Some(first) = self.blocked(now, ticket.key, class, &tariff.needed) {
            self.charge_failure(now, ticket.key, endpoint, &request.model);
            // Asked again once the refused request is counted: or the wait would be too short.
            let after = self.blocked(now, ticket.key, class, &tariff.needed);
            return Err(self.refuse(now, endpoint, request, ticket.key, &after.unwrap_or(first)));
        }
        let (key, organisation) = self.parties(ticket.key);
        let usage = organisation.cache.usage(now, request, output);
        organisation.meters(class).enter(now, &tariff.at_start);
        key.meters.enter(now, &tariff.at_start);
        key.counters.admitted += 1;
        key.counters.input_tokens += usage.whole_input();
        key.counters.cache_read_tokens += usage.cache_read;
        key.counters.cache_write_tokens += usage.cache_write;
        ticket.admitted = Some(Admitted {
            class,
            tariff,
            uncorrected: Some(usage),
        });
        Ok(Grant::new(usage, request))
    }

    /// The limit, the organisation's or the key's own, that keeps `needed` out for the longest.
    fn blocked(
        &mut self,
        now: SimTime,
        key: usize,
        class: usize,
        needed: &Cost,
    ) -> Option<Blocked> {
        let (key, organisation) = self.parties(key);
        let shared = organisation.meters(class).blocked(now, needed);
        let own = key.meters.blocked(now, needed);
        shared.into_iter().chain(own).reduce(later)
    }

    fn refuse(
        &mut self,
        now: SimTime,
        endpoint: Endpoint,
        request: &Request,
        key: usize,
        blocked: &Blocked,
    ) -> ProviderError {
        let scaled = self.is_scaled();
        let (key, organisation) = self.parties(key);
        key.counters.limited += 1;
        let context = Context {
            dialect: endpoint.dialect(),
            organisation: &organisation.config.name,
            model: &request.model,
            scaled,
        };
        refusals::limit_reached(now, blocked, &context)
    }

    fn planned_output(&mut self, endpoint: Endpoint, request: &Request) -> u64 {
        if endpoint == Endpoint::Embeddings || !endpoint.is_inference() {
            return 0;
        }
        let wanted = self.answer.output_tokens.draw(&mut self.rng);
        wanted.min(request.max_tokens.unwrap_or(u64::MAX))
    }

    /// OpenAI counts a request even if it fails; Anthropic says nothing of the kind.
    pub(super) fn charge_failure(
        &mut self,
        now: SimTime,
        key: usize,
        endpoint: Endpoint,
        model: &str,
    ) {
        if endpoint.is_inference() && endpoint.dialect() == Dialect::OpenAi {
            let (key, organisation) = self.parties(key);
            key.meters.charge_refused_request(now);
            let class = organisation.class_of(model);
            organisation.meters(class).charge_refused_request(now);
        }
    }

    /// Counts `tokens` of output that were just produced.
    pub fn produce(&mut self, now: SimTime, ticket: &mut Ticket, tokens: u64) {
        let (key, organisation) = self.parties(ticket.key);
        key.counters.output_tokens += tokens;
        let Some(admitted) = &mut ticket.admitted else {
            return;
        };
        let tariff = admitted.tariff;
        let cost = tariff.output(tokens);
        let usage = admitted.uncorrected.take();
        let correction = usage.and_then(|usage| tariff.correction(usage));
        for meters in [organisation.meters(admitted.class), &mut key.meters] {
            meters.charge(now, &cost);
            if let Some((owed, given_back)) = &correction {
                meters.charge(now, owed);
                meters.refund(now, given_back);
            }
        }
    }

    /// Ends a request.
    pub fn finish(&mut self, now: SimTime, mut ticket: Ticket, ending: Ending) {
        self.produce(now, &mut ticket, 0);
        let (key, organisation) = self.parties(ticket.key);
        key.counters.in_flight = key.counters.in_flight.saturating_sub(1);
        match ending {
            Ending::Cancelled => key.counters.cancelled += 1,
            Ending::Complete if ticket.admitted.is_some() => key.counters.completed += 1,
            Ending::Complete | Ending::Broken => {}
        }
        if let Some(admitted) = ticket.admitted {
            key.meters.leave();
            organisation.meters(admitted.class).leave();
        }
    }

    /// The state of the quota that an answer to this request shows: of the organisation's limit and
    /// the key's own the one with less left.
    pub fn quota(&mut self, now: SimTime, ticket: &Ticket) -> Quota {
        let (key, organisation) = self.parties(ticket.key);
        let class = ticket
            .admitted
            .as_ref()
            .map_or(usize::MAX, |admitted| admitted.class);
        let mut level = |dimension| {
            let shared = organisation.meters(class).level(now, dimension);
            let own = key.meters.level(now, dimension);
            shared
                .into_iter()
                .chain(own)
                .min_by_key(|level| level.remaining)
        };
        Quota {
            requests: level(Dimension::Requests).or_else(|| level(Dimension::RequestsPerDay)),
            input_tokens: level(Dimension::InputTokens),
            output_tokens: level(Dimension::OutputTokens),
            tokens: level(Dimension::Tokens),
            project_tokens: key.meters.level(now, Dimension::Tokens),
        }
    }
}
