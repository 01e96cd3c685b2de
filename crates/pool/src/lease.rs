//! Leases: the right to send one request with one key.
//!
//! A lease cannot be copied, and is consumed when its outcome is handed in, so that it settles
//! exactly once. One that is dropped, since the task that held it was cancelled, settles itself: its
//! reservation is charged in full when the pool is called next. Nothing leaks.

#[expect(
    clippy::disallowed_types,
    reason = "a lease is dropped where its holder happens to be, outside the pool's own lock"
)]
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use smallvec::SmallVec;

use crate::id::KeyId;
use crate::learned::Mark;
use crate::meter::Amounts;
use crate::quota_class::QuotaClass;
use crate::slab::Handle;
use crate::time::Timestamp;

/// What a lease settles with.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) key: KeyId,
    pub(crate) slot: Handle,
    /// The group at the time of the grant: there the reservation lies.
    pub(crate) group: Option<Handle>,
    pub(crate) reserved: Amounts,
    /// What the demand asked for, before it was corrected.
    pub(crate) asked: Amounts,
    pub(crate) class: QuotaClass,
    /// What there was of the class on the owner of the quota before.
    pub(crate) mark: Mark,
    pub(crate) session: Option<u64>,
    pub(crate) state: SmallVec<[u64; 2]>,
    pub(crate) granted_at: Timestamp,
    /// Taken out when the lease settles.
    pub(crate) model: Option<Arc<str>>,
}

impl Ticket {
    /// All of it, out of a lease that ends.
    fn taken(&mut self) -> Self {
        Self {
            model: self.model.take(),
            state: std::mem::take(&mut self.state),
            ..*self
        }
    }
}

/// The right to send one request with one key, with quota reserved for it.
///
/// Hand it back with [`Pool::handle_outcome`](crate::Pool::handle_outcome). Dropped instead, it is
/// charged as reserved, and counted as cancelled, when the pool is called next.
#[derive(Debug)]
#[must_use = "a lease that is dropped is charged in full"]
pub struct Lease {
    ticket: Ticket,
    settled: bool,
    drop_box: Arc<DropBox>,
}

impl Lease {
    pub(crate) const fn new(ticket: Ticket, drop_box: Arc<DropBox>) -> Self {
        Self {
            ticket,
            settled: false,
            drop_box,
        }
    }

    /// The key to send with.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.ticket.key
    }

    /// This lease's number, unique within its pool and rising with each grant.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.ticket.number
    }

    /// Input and output tokens reserved.
    #[must_use]
    pub const fn reserved(&self) -> (u64, u64) {
        (
            self.ticket.reserved.input_tokens,
            self.ticket.reserved.output_tokens,
        )
    }

    /// When it was granted.
    #[must_use]
    pub const fn granted_at(&self) -> Timestamp {
        self.ticket.granted_at
    }

    /// A look at the ticket, if this lease came from the pool with that drop box.
    pub(crate) fn ticket(&self, drop_box: &Arc<DropBox>) -> Option<&Ticket> {
        Arc::ptr_eq(&self.drop_box, drop_box).then_some(&self.ticket)
    }

    /// As [`Self::ticket`], to change it.
    pub(crate) fn ticket_mut(&mut self, drop_box: &Arc<DropBox>) -> Option<&mut Ticket> {
        Arc::ptr_eq(&self.drop_box, drop_box).then_some(&mut self.ticket)
    }

    /// The ticket, if this lease came from the pool with that drop box.
    pub(crate) fn into_ticket(mut self, drop_box: &Arc<DropBox>) -> Option<Ticket> {
        if !Arc::ptr_eq(&self.drop_box, drop_box) {
            return None;
        }
        self.settled = true;
        Some(self.ticket.taken())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.settled {
            self.drop_box.put(self.ticket.taken());
        }
    }
}

/// Where dropped leases wait for their pool.
#[derive(Debug, Default)]
pub(crate) struct DropBox {
    /// Lets the pool pass an empty box at the price of one relaxed load.
    count: AtomicUsize,
    #[expect(clippy::disallowed_types, reason = "see the import")]
    tickets: Mutex<Vec<Ticket>>,
}

impl DropBox {
    fn put(&self, ticket: Ticket) {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.push(ticket);
        self.count.store(tickets.len(), Ordering::Release);
    }

    pub(crate) fn drain(&self) -> Vec<Ticket> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        self.count.store(0, Ordering::Release);
        std::mem::take(&mut *tickets)
    }
}
