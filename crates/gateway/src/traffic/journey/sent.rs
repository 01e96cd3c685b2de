//! What is sent in the place of a client's body, and what it takes of the memory for bodies.

use http::Response;

use super::last_word::trace_unserved;
use super::{Journey, Means};
use crate::answer::error_response;
use crate::body::AnswerBody;
use crate::provider::UpstreamKey;
use crate::routing::Target;
use crate::traffic::intake::{BodyShare, Refusal};
use crate::traffic::request::ClientRequest;
use crate::traffic::stage::Stage;
use crate::traffic::translation::Outbound;

impl Journey<'_> {
    /// Writes the request for the stage's target, if that speaks another API than the client. What it fails with is
    /// the end of the stage: there is no memory for it, or (`None`) the target's API cannot express it.
    pub(super) fn translate(&mut self, stage: &mut Stage<'_>) -> Result<(), Option<Refusal>> {
        if stage.translated.is_some() {
            return Ok(());
        }
        let ClientRequest { facts, body, .. } = &self.request;
        match Outbound::translated(facts.endpoint, body, &facts.peek, stage.target) {
            Ok(None) => Ok(()),
            Ok(Some(translated)) => {
                let share = self.memory(translated.body.len())?;
                stage.translated = Some((translated, share));
                Ok(())
            }
            Err(error) => {
                stage.over = true;
                self.untranslatable = Some(error);
                Err(None)
            }
        }
    }

    /// The request for a target that speaks the client's API.
    pub(super) fn untouched(&self, target: &Target) -> Outbound {
        let ClientRequest { facts, body, .. } = &self.request;
        Outbound::untouched(facts.endpoint, body, &facts.peek, target)
    }

    /// What an attempt takes of the memory for bodies, besides what is held already.
    pub(super) fn share_of(
        &self,
        stage: &Stage<'_>,
        outbound: &Outbound,
        key: &UpstreamKey,
    ) -> Result<BodyShare, Refusal> {
        let own = self.request.body.as_ptr();
        let is_copy = stage.translated.is_none() && outbound.body.as_ptr() != own;
        let is_copied_again = key.place.may_write_anew(&stage.target.model);
        let copies = usize::from(is_copy) + usize::from(is_copied_again);
        self.memory(copies * outbound.body.len())
    }

    /// A share of the memory for bodies, for what is sent in the place of the client's own.
    fn memory(&self, bytes: usize) -> Result<BodyShare, Refusal> {
        let Means { core, live, .. } = self.means;
        core.bodies.share_beside(bytes, &live.config.bounds)
    }

    /// The answer where there is no memory for what would be sent to the target.
    pub(super) fn out_of_memory(
        &self,
        target: &Target,
        (error, retry): Refusal,
    ) -> Response<AnswerBody> {
        let facts = &self.request.facts;
        let response = error_response(facts.endpoint.dialect(), &error, retry);
        trace_unserved(facts, &self.trail, target, &response);
        response
    }
}
