//! The owner of a quota: a quota group, or a key that belongs to none.
//!
//! Prompt caches and the state of an account have the same scope as the quota: whatever belongs to one
//! key of a group belongs to all of them.

use crate::slab::Handle;

/// Who owns a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    Group(Handle),
    Key(Handle),
}
