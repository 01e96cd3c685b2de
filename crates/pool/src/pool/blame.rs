//! Suspicion and blame: what a failure means for the key that met it, once that is known.

use crate::bars::BarKind;
use crate::bounds::{MODEL_DENIAL, PROVIDER_ALERT_SILENCE};
use crate::id::KeyId;
use crate::outcome::Suspicion;
use crate::output::{AlertKind, Output, ProbeResult};
use crate::slab::Handle;
use crate::time::Timestamp;

use super::Pool;
use super::settle::reach_of;

impl Pool {
    /// A suspicion has proved true.
    pub(super) fn blame(&mut self, id: KeyId, model: &str, suspicion: Suspicion) {
        let now = self.now;
        let Some(&handle) = self.by_id.get(&id) else {
            return;
        };
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        let score = key.health.score();
        let reason = match suspicion {
            Suspicion::Fault(_) => {
                self.fault(handle);
                "too many faults"
            }
            Suspicion::Invalid | Suspicion::AccountInvalid => {
                let reason = "the provider refuses the key, and takes another";
                for member in self.reached(handle, reach_of(suspicion)) {
                    self.condemn(member, "another key served the request that it was refused");
                    self.refresh(member, reason);
                    self.reweigh(member);
                }
                reason
            }
            Suspicion::ModelDenied => {
                key.record.was_denied();
                key.bar_model(now, model, BarKind::Denied, now + MODEL_DENIAL);
                "the model was denied"
            }
        };
        self.tell_low_health(handle, score);
        self.refresh(handle, reason);
        self.reweigh(handle);
    }

    /// A fault was the key's.
    pub(super) fn fault(&mut self, handle: Handle) {
        let now = self.now;
        let others_serve = self
            .keys
            .iter()
            .any(|(other, key)| other != handle && key.config.enabled && !key.health.is_out());
        if let Some(key) = self.keys.get_mut(handle) {
            key.health.faulted(now, others_serve);
        }
    }

    /// A key was refused. It is left out, and a probe finds out whether it is dead.
    pub(super) fn suspect(&mut self, handle: Handle) {
        let now = self.now;
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        if key.health.suspected(now) && key.config.enabled {
            let id = key.id;
            self.emit(Output::Probe(id));
        }
    }

    /// A key is dead for certain.
    pub(super) fn condemn(&mut self, handle: Handle, note: &str) {
        let now = self.now;
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        let is_news = !key.health.is_dead();
        key.health.invalid(now);
        if is_news {
            let id = key.id;
            let message = format!("the provider refuses it: {note}");
            self.alert(id, AlertKind::KeyInvalid, message);
        }
    }

    /// Takes the result of a probe that [`Output::Probe`](crate::Output::Probe) asked for.
    pub fn handle_probe(&mut self, now: Timestamp, key: KeyId, result: ProbeResult) {
        self.begin(now);
        let now = self.now;
        let Some(&handle) = self.by_id.get(&key) else {
            return;
        };
        let Some(key) = self.keys.get_mut(handle) else {
            return;
        };
        let was_suspected = key.health.is_suspected();
        let reason = match result {
            ProbeResult::Passed => {
                key.health.probe_passed();
                "its probe passed"
            }
            ProbeResult::Failed(note) => {
                key.record.note_error(now, &note);
                key.health.probe_failed(now);
                if was_suspected {
                    self.second_refusal(handle, &note.message);
                }
                "its probe failed"
            }
            ProbeResult::Inconclusive => {
                key.health.probe_inconclusive(now);
                "its probe was inconclusive"
            }
        };
        self.refresh(handle, reason);
        self.reweigh(handle);
        if was_suspected && reason == "its probe passed" {
            self.probe_suspects();
        }
    }

    /// A suspect was refused again, by its probe. If most keys are suspects, it is the provider that
    /// refuses everybody, and the keys are left alone: they stay out, and are probed.
    fn second_refusal(&mut self, handle: Handle, note: &str) {
        let now = self.now;
        let enabled = self.keys.iter().filter(|(_, key)| key.config.enabled);
        let (mut all, mut suspects) = (0_usize, 0_usize);
        for (_, key) in enabled {
            all += 1;
            suspects += usize::from(key.health.is_suspected());
        }
        if all < 2 || suspects * 2 <= all {
            return self.condemn(handle, note);
        }
        if is_news(&mut self.mass_refusal_told, now)
            && let Some(id) = self.keys.get(handle).map(|key| key.id)
        {
            let message = format!("the provider refuses most keys at once, this one, too: {note}");
            self.alert(id, AlertKind::MostKeysRefused, message);
        }
    }

    /// No key can help where the provider serves nobody.
    pub(super) fn tell_not_served(&mut self, key: KeyId, note: &str) {
        if is_news(&mut self.not_served_told, self.now) {
            let message = format!("the provider serves nobody from where the gateway is: {note}");
            self.alert(key, AlertKind::NotServed, message);
        }
    }

    /// The provider takes one of the suspects again; perhaps the others, too.
    fn probe_suspects(&mut self) {
        let now = self.now;
        let mut suspects = Vec::new();
        for (handle, key) in self.keys.iter_mut() {
            if key.config.enabled && key.health.is_suspected() && key.health.probe_now(now) {
                suspects.push((handle, key.id));
            }
        }
        for (handle, id) in suspects {
            self.reschedule(handle);
            self.emit(Output::Probe(id));
        }
    }
}

/// Whether an operator is to be told of what concerns the whole provider, and was last told of it then.
fn is_news(told: &mut Option<Timestamp>, now: Timestamp) -> bool {
    let is_news = told.is_none_or(|at| at + PROVIDER_ALERT_SILENCE <= now);
    if is_news {
        *told = Some(now);
    }
    is_news
}
