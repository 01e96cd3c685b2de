//! A waiting request, and the lane in which it waits.
//!
//! Without lanes, one request that no key can take would hold up all those behind it which a key
//! could; with a lane for each request, each key that gets room would have to be offered to all
//! that wait. So requests that any key treats alike share a lane, and only its head is offered.
//!
//! Worked example: two requests for `m` of 900 and 1000 tokens share a lane; one of 1100 tokens
//! has another lane, since a key may have room for 1000 tokens and not for 1100.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::id::KeyId;
use crate::time::Timestamp;
use crate::unit::Unit;
use crate::urgency::Urgency;

/// A waiting request's number. A later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(u64);

impl WaiterId {
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for WaiterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a request asks of the pool, kept while it waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnedDemand {
    pub(crate) model: Arc<str>,
    pub(crate) model_class: Arc<str>,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) tags: Vec<String>,
    pub(crate) excluded: SmallVec<[KeyId; 4]>,
    pub(crate) session: Option<u64>,
    pub(crate) state: SmallVec<[u64; 4]>,
    /// Where its prompt cache is, or the state that it carries.
    pub(crate) home: Option<Unit>,
    /// It cannot leave its home.
    pub(crate) is_bound: bool,
    /// Until then it would rather wait for its home than go elsewhere.
    pub(crate) home_until: Timestamp,
}

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) lane: LaneKey,
    pub(crate) urgency: Urgency,
    /// Whose request it is; the tenants of a class share what is served of it.
    pub(crate) tenant: u64,
    /// The tenant's share in proportion to those of others; 0 counts as 1.
    pub(crate) weight: u32,
    /// What the request will use, for the sharing.
    pub(crate) tokens: u64,
    /// The memory that it holds while it waits.
    pub(crate) bytes: u64,
    /// When it arrived, at the gateway rather than in the queue.
    pub(crate) since: Timestamp,
    pub(crate) deadline: Timestamp,
    /// It was being served and lost its key: it goes first in its class, and its tenant is not
    /// charged for it again.
    pub(crate) resumed: bool,
    /// Shared, since it is looked at while the pool changes.
    pub(crate) demand: Arc<OwnedDemand>,
}

/// What all requests of a lane have in common: any key that can take one can take another, but for
/// a difference of less than a factor of two in size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneKey(Arc<Traits>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Traits {
    /// ⌊log₂⌋ of the tokens, plus one; 0 for none.
    magnitude: u32,
    home: Option<Unit>,
    is_bound: bool,
    excluded: SmallVec<[KeyId; 4]>,
    model: Arc<str>,
    tags: Vec<String>,
}

impl LaneKey {
    /// The lane of requests like this. The order of tags and keys, and repetition, do not matter.
    pub(crate) fn of(demand: &OwnedDemand) -> Self {
        let tokens = demand.input_tokens.saturating_add(demand.output_tokens);
        let mut excluded = demand.excluded.clone();
        excluded.sort_unstable();
        excluded.dedup();
        let mut tags = demand.tags.clone();
        tags.sort_unstable();
        tags.dedup();
        Self(Arc::new(Traits {
            magnitude: u64::BITS - tokens.leading_zeros(),
            home: demand.home,
            is_bound: demand.is_bound,
            excluded,
            model: Arc::clone(&demand.model),
            tags,
        }))
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use crate::slab::Handle;

    use super::*;

    fn demand(input_tokens: u64) -> OwnedDemand {
        OwnedDemand {
            model: "m".into(),
            input_tokens,
            tags: vec!["b".to_owned(), "a".to_owned()],
            excluded: smallvec![KeyId::from_bits(2), KeyId::from_bits(1)],
            ..OwnedDemand::default()
        }
    }

    #[test]
    fn requests_that_any_key_treats_alike_share_a_lane() {
        let lane = LaneKey::of(&demand(1000));
        let like = OwnedDemand {
            input_tokens: 500,
            output_tokens: 400,
            tags: vec!["a".to_owned(), "b".to_owned(), "a".to_owned()],
            excluded: smallvec![KeyId::from_bits(1), KeyId::from_bits(2)],
            session: Some(7),
            ..demand(0)
        };
        assert_eq!(LaneKey::of(&like), lane);
    }

    #[test]
    fn a_difference_that_a_key_could_make_is_a_lane_of_its_own() {
        let lane = LaneKey::of(&demand(1000));
        let others = [
            demand(1024),
            demand(511),
            demand(u64::MAX),
            OwnedDemand {
                model: "n".into(),
                ..demand(1000)
            },
            OwnedDemand {
                tags: Vec::new(),
                ..demand(1000)
            },
            OwnedDemand {
                excluded: SmallVec::new(),
                ..demand(1000)
            },
            OwnedDemand {
                home: Some(Unit::Key(Handle::for_test(1))),
                ..demand(1000)
            },
            OwnedDemand {
                is_bound: true,
                ..demand(1000)
            },
        ];
        for other in others {
            assert_ne!(LaneKey::of(&other), lane, "{other:?}");
        }
    }
}
