//! Quota groups: limits that several keys share.
//!
//! Providers count most limits per organisation or project. Keys of one organisation taken for
//! independent quotas promise a throughput that does not exist, and earn refusals instead.

use crate::meters::Meters;
use crate::recent::RecentLoad;
use crate::slab::Handle;

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) meters: Meters,
    /// Traffic of its keys together.
    pub(crate) recent: RecentLoad,
    /// Found out from answers, not declared.
    pub(crate) is_learned: bool,
    /// Its keys: a refusal of the group reaches all of them.
    pub(crate) members: Vec<Handle>,
    /// Whether keys wait outside the ready structures for this group's meters.
    pub(crate) has_parked: bool,
}

impl Group {
    pub(crate) fn new(name: String, meters: Meters) -> Self {
        Self {
            name,
            meters,
            recent: RecentLoad::default(),
            is_learned: false,
            members: Vec::new(),
            has_parked: false,
        }
    }
}
