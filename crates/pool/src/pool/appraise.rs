//! Where every key stands for a demand: the long answer behind a refusal and an explanation.

use crate::bars::BarKind;
use crate::bounds::CONCURRENCY_RETRY;
use crate::chooser::Wanted;
use crate::explain::BarReason;
use crate::key::Key;
use crate::meters::Shortage;
use crate::refusal::{Refusal, RefusalReason};
use crate::time::Timestamp;
use crate::unit::Unit;

use super::Pool;

/// How far a key gets through the sieves of [`RefusalReason`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Appraisal {
    /// The sieve that holds it back; [`RefusalReason::NoRoom`] also if none does.
    pub(super) sieve: RefusalReason,
    /// The first thing that stands against it.
    pub(super) bar: Option<BarReason>,
    /// When nothing will, as far as time alone decides.
    pub(super) until: Option<Timestamp>,
    /// When it could be granted, or granted again; see [`Refusal::retry_at`].
    pub(super) retry_at: Option<Timestamp>,
}

impl Appraisal {
    const fn never(sieve: RefusalReason, bar: BarReason) -> Self {
        Self {
            sieve,
            bar: Some(bar),
            until: None,
            retry_at: None,
        }
    }
}

impl Pool {
    /// The refusal of a demand that no key can take now.
    pub(super) fn refusal(&self, wanted: &Wanted<'_>) -> Refusal {
        let matching = self.selector.matching(wanted.model);
        let mut refusal = Refusal {
            reason: RefusalReason::NoKeys,
            retry_at: None,
        };
        let occupied = self.is_occupied().then(|| self.now + CONCURRENCY_RETRY);
        for (_, key) in self.keys.iter() {
            let appraisal = self.appraise(key, wanted, &matching);
            if appraisal.sieve > refusal.reason {
                refusal = Refusal {
                    reason: appraisal.sieve,
                    retry_at: appraisal.retry_at,
                };
            } else if appraisal.sieve == refusal.reason {
                let earlier = [refusal.retry_at, appraisal.retry_at]
                    .into_iter()
                    .flatten()
                    .min();
                refusal.retry_at = earlier;
            }
        }
        if refusal.reason == RefusalReason::NoRoom {
            refusal.retry_at = refusal.retry_at.max(occupied);
        }
        refusal
    }

    pub(super) fn appraise(&self, key: &Key, wanted: &Wanted<'_>, matching: &[usize]) -> Appraisal {
        let model_bar = wanted
            .model
            .and_then(|model| key.bars.get(model, wanted.class_name, self.now));
        if !matching.contains(&key.class) {
            return Appraisal::never(RefusalReason::NoKeyForModel, BarReason::ModelNotListed);
        }
        if let Some(bar) = model_bar.filter(|bar| bar.kind == BarKind::Denied) {
            let until = Some(bar.until);
            let never = Appraisal::never(RefusalReason::NoKeyForModel, BarReason::ModelDenied);
            return Appraisal { until, ..never };
        }
        if !key.has_tags(wanted.tags) {
            return Appraisal::never(RefusalReason::NoKeyForTags, BarReason::TagMissing);
        }
        if wanted
            .only
            .is_some_and(|only| self.owner_of(key) != Some(only))
        {
            return Appraisal::never(RefusalReason::StateUnavailable, BarReason::StateElsewhere);
        }
        if !key.config.enabled {
            return Appraisal::never(RefusalReason::AllUnavailable, BarReason::Disabled);
        }
        if key.health.is_expired() {
            return Appraisal::never(RefusalReason::AllUnavailable, BarReason::Expired);
        }
        if let Some(until) = key.health.may_return_at() {
            return Appraisal {
                sieve: RefusalReason::AllUnavailable,
                bar: Some(BarReason::Unavailable),
                until: Some(until),
                retry_at: Some(until),
            };
        }
        let room = self.room(key, wanted, model_bar.map(|bar| bar.until));
        if wanted.excluded.contains(&key.id) {
            return Appraisal {
                sieve: RefusalReason::AllTried,
                bar: Some(BarReason::Excluded),
                until: None,
                retry_at: room.retry_at,
            };
        }
        room
    }

    fn owner_of(&self, key: &Key) -> Option<Unit> {
        let own = || self.by_id.get(&key.id).copied().map(Unit::Key);
        key.group.map(Unit::Group).or_else(own)
    }

    /// When an available key has room, and what it is short of.
    fn room(
        &self,
        key: &Key,
        wanted: &Wanted<'_>,
        model_cools_until: Option<Timestamp>,
    ) -> Appraisal {
        let now = self.now;
        let group = key.group.and_then(|group| self.groups.get(group));
        let shortages = [
            key.meters.shortage(now, wanted.class, &wanted.amounts),
            group.and_then(|group| group.meters.shortage(now, wanted.class, &wanted.amounts)),
        ];
        let mut waits = [
            key.health
                .left_out_until()
                .map(|until| (BarReason::CoolingDown, until)),
            model_cools_until.map(|until| (BarReason::ModelCoolingDown, until)),
            key.health
                .is_on_trial()
                .then(|| (BarReason::OnTrial, now + CONCURRENCY_RETRY)),
            None,
        ];
        for shortage in shortages.into_iter().flatten() {
            match shortage {
                Shortage::TooLarge(dimension) => {
                    let bar = BarReason::TooLarge(dimension);
                    return Appraisal::never(RefusalReason::TooLarge, bar);
                }
                Shortage::Until(dimension, until) => {
                    let [.., longest] = &mut waits;
                    if longest.is_none_or(|(_, known)| until > known) {
                        *longest = Some((BarReason::NoRoom(dimension), until));
                    }
                }
            }
        }
        let bar = waits.iter().flatten().next().map(|&(reason, _)| reason);
        let ready_at = waits
            .iter()
            .flatten()
            .map(|&(_, until)| until)
            .max()
            .unwrap_or(now);
        // Waiting for room beyond its own end is in vain.
        let in_time = key.config.expires_at.is_none_or(|end| ready_at < end);
        let until = in_time.then_some(ready_at);
        Appraisal {
            sieve: RefusalReason::NoRoom,
            bar,
            until,
            retry_at: until,
        }
    }
}
