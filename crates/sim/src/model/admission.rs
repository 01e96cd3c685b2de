//! Letting a request in, counting it while it lasts, letting it go.

use super::charging::Tariff;
use super::meters::{Blocked, Cost, later};
use super::refusals::{self, Context};
use super::reply::Admitted;
use super::{Ending, Grant, Model, ProviderError, Request, Ticket, Usage};
use crate::dialect::errors;
use crate::{Dialect, Endpoint, SimTime};

impl Model {
    /// Lets a request in if every limit has room, and charges it.
    pub(super) fn admit(
        &mut self,
        now: SimTime,
        request: &Request,
        ticket: &mut Ticket,
    ) -> Result<Grant, ProviderError> {
        let endpoint = ticket.endpoint;
        if let Err(error) = self.check(request, ticket) {
            self.charge_failure(now, ticket);
            return Err(error);
        }
        if !endpoint.is_inference() {
            let usage = Usage {
                input: request.input_tokens,
                ..Usage::default()
            };
            return Ok(Grant::new(usage, request, &self.answer));
        }
        let output = self.planned_output(endpoint, request);
        let (key, organisation) = self.parties(ticket.key);
        let usage = organisation
            .cache
            .usage(now, key.cache_scope, request, output);
        let tariff = Tariff::new(endpoint, request, usage.cache_read, &organisation.config);
        if let Some(first) = self.blocked(now, ticket, &tariff.needed) {
            self.charge_failure(now, ticket);
            // Asked again once the refused request is counted: or the wait would be too short.
            let after = self.blocked(now, ticket, &tariff.needed);
            return Err(self.refuse(now, request, ticket, &after.unwrap_or(first)));
        }
        self.let_grow(now, request, ticket)?;
        let (key, organisation) = self.parties(ticket.key);
        organisation.cache.write(now, key.cache_scope, request);
        organisation
            .meters(ticket.class)
            .enter(now, &tariff.at_start);
        key.meters.enter(now, &tariff.at_start);
        key.counters.admitted += 1;
        key.counters.input_tokens += usage.whole_input();
        key.counters.cache_read_tokens += usage.cache_read;
        key.counters.cache_write_tokens += usage.cache_write;
        ticket.admitted = Some(Admitted {
            tariff,
            uncorrected: Some(usage),
        });
        Ok(Grant::new(usage, request, &self.answer))
    }

    /// Whether the organisation serves this request at all: its model, and the state that it builds on.
    fn check(&mut self, request: &Request, ticket: &Ticket) -> Result<(), ProviderError> {
        let endpoint = ticket.endpoint;
        let (_, organisation) = self.parties(ticket.key);
        let names_model = !matches!(endpoint, Endpoint::Models(_));
        if names_model && !organisation.offers(&request.model) {
            return Err(errors::unknown_model(endpoint.dialect(), &request.model));
        }
        let previous = request.previous_response.as_deref();
        if let Some(id) = previous.filter(|id| !organisation.mark.made_response(id)) {
            return Err(errors::unknown_response(id));
        }
        let mut thoughts = request.thinking.iter();
        let foreign =
            thoughts.find(|thought| !organisation.mark.made_signature(&thought.signature));
        foreign.map_or(Ok(()), |thought| Err(errors::foreign_thinking(thought)))
    }

    /// Holds the organisation to its bound on growth, and counts the request in it.
    fn let_grow(
        &mut self,
        now: SimTime,
        request: &Request,
        ticket: &Ticket,
    ) -> Result<(), ProviderError> {
        let Some(growth) = &mut self.parties(ticket.key).1.growth else {
            return Ok(());
        };
        let ready_at = growth.ready_at(now);
        if ready_at == Some(now) {
            growth.charge(now, 1);
            return Ok(());
        }
        self.charge_failure(now, ticket);
        let wait = ready_at.map(|ready_at| ready_at.since(now));
        Err(self.limited(request, ticket, |at| refusals::ramp_reached(wait, at)))
    }

    /// The limit, the organisation's or the key's own, that keeps `needed` out for the longest.
    fn blocked(&mut self, now: SimTime, ticket: &Ticket, needed: &Cost) -> Option<Blocked> {
        let (key, organisation) = self.parties(ticket.key);
        let shared = organisation.meters(ticket.class).blocked(now, needed);
        let own = key.meters.blocked(now, needed);
        shared.into_iter().chain(own).reduce(later)
    }

    fn refuse(
        &mut self,
        now: SimTime,
        request: &Request,
        ticket: &Ticket,
        blocked: &Blocked,
    ) -> ProviderError {
        self.limited(request, ticket, |at| {
            refusals::limit_reached(now, blocked, at)
        })
    }

    /// Counts a request as refused by a limit, and lets `refusal` write the error.
    fn limited(
        &mut self,
        request: &Request,
        ticket: &Ticket,
        refusal: impl FnOnce(&Context<'_>) -> ProviderError,
    ) -> ProviderError {
        let scaled = self.is_scaled();
        let (key, organisation) = self.parties(ticket.key);
        key.counters.limited += 1;
        refusal(&Context {
            dialect: ticket.endpoint.dialect(),
            organisation: &organisation.config.name,
            uuid: &organisation.uuid,
            model: &request.model,
            style: organisation.config.headers,
            scaled,
        })
    }

    fn planned_output(&mut self, endpoint: Endpoint, request: &Request) -> u64 {
        if endpoint.embeds() || !endpoint.is_inference() {
            return 0;
        }
        let wanted = self.answer.output_tokens.draw(&mut self.rng);
        wanted.min(request.max_tokens.unwrap_or(u64::MAX))
    }

    /// OpenAI and Gemini count a request even if it fails; Anthropic says nothing of the kind.
    pub(super) fn charge_failure(&mut self, now: SimTime, ticket: &Ticket) {
        let endpoint = ticket.endpoint;
        if endpoint.is_inference() && endpoint.dialect() != Dialect::Anthropic {
            let (key, organisation) = self.parties(ticket.key);
            key.meters.charge_refused_request(now);
            organisation
                .meters(ticket.class)
                .charge_refused_request(now);
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
        for meters in [organisation.meters(ticket.class), &mut key.meters] {
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
        if ticket.admitted.is_some() {
            key.meters.leave();
            organisation.meters(ticket.class).leave();
        }
    }
}
