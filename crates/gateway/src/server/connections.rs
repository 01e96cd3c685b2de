//! All connections of a listener's clients: how many there may be, and which goes when there are too many.
//!
//! An idle connection costs a file descriptor and some kilobytes, and whoever reaches the port can open as
//! many as he likes. So their number is bounded. Beyond it the one that has been idle for longest is asked
//! to leave, those first that never asked for anything; when all are busy, the new one is closed at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::activity::{Activity, Idleness};
use crate::limits;
use crate::telemetry::{Closed, Defence};

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Connections {
    base: Instant,
    bound: usize,
    defence: Arc<Defence>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<u64, Arc<Activity>>,
    next_id: u64,
    /// Those that were idle for longest at the last look, the longest first.
    candidates: VecDeque<(Arc<Activity>, Idleness)>,
}

/// A connection's place among the others; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    /// What the connection is doing.
    pub(super) activity: Arc<Activity>,
}

/// Whether a connection may stay.
#[derive(Debug)]
pub(super) enum Admission {
    /// There was room.
    Admitted(Place),
    /// There is, as another one leaves.
    AdmittedForAnother(Place),
    /// All others are busy.
    Refused,
}

impl Connections {
    /// Room for `bound` connections.
    pub(super) fn new(bound: usize, defence: Arc<Defence>) -> Arc<Self> {
        Arc::new(Self {
            base: Instant::now(),
            bound,
            defence,
            open: Mutex::default(),
        })
    }

    /// How many there may be.
    pub(super) fn bound(&self) -> usize {
        self.bound
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.open.lock().by_id.len()
    }

    /// Admits a new connection, if need be in place of an idle one.
    pub(super) fn admit(self: &Arc<Self>) -> Admission {
        let mut open = self.open.lock();
        let is_full = open.by_id.len() >= self.bound;
        if is_full && !open.evict() {
            self.defence.count_closed(Closed::Refused);
            return Admission::Refused;
        }
        self.defence.count_opened();
        let id = open.next_id;
        open.next_id += 1;
        let activity = Arc::new(Activity::new(self.base));
        open.by_id.insert(id, activity.clone());
        let place = Place {
            connections: self.clone(),
            id,
            activity,
        };
        if is_full {
            Admission::AdmittedForAnother(place)
        } else {
            Admission::Admitted(place)
        }
    }

    /// Asks the connection to leave that has been idle for longest; answers whether there was one.
    pub(super) fn evict(&self) -> bool {
        self.open.lock().evict()
    }
}

impl Open {
    fn evict(&mut self) -> bool {
        self.evict_candidate() || {
            self.look_for_candidates();
            self.evict_candidate()
        }
    }

    fn evict_candidate(&mut self) -> bool {
        while let Some((activity, idleness)) = self.candidates.pop_front() {
            // It may have served a request since the look.
            if activity.idleness() == Some(idleness) {
                activity.ask_to_leave();
                return true;
            }
        }
        false
    }

    fn look_for_candidates(&mut self) {
        let idle = self.by_id.values().filter_map(|activity| {
            let idleness = activity.idleness()?;
            Some((idleness, activity))
        });
        let mut idle: Vec<_> = idle.collect();
        if idle.len() > limits::EVICTED_TOGETHER {
            idle.select_nth_unstable_by_key(limits::EVICTED_TOGETHER, |&(idleness, _)| idleness);
            idle.truncate(limits::EVICTED_TOGETHER);
        }
        idle.sort_unstable_by_key(|&(idleness, _)| idleness);
        let longest = idle
            .into_iter()
            .map(|(idleness, activity)| (activity.clone(), idleness));
        self.candidates = longest.collect();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().by_id.remove(&self.id);
        self.connections.defence.count_ended();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn admitted(connections: &Arc<Connections>) -> Place {
        // So that each has been idle for less than those before it.
        tokio::time::advance(Duration::from_millis(1)).await;
        match connections.admit() {
            Admission::Admitted(place) | Admission::AdmittedForAnother(place) => place,
            Admission::Refused => panic!("refused"),
        }
    }

    fn leave(places: &[Place]) -> Vec<bool> {
        places
            .iter()
            .map(|place| place.activity.is_leaving())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_was_idle_for_longest_makes_room() {
        let connections = Connections::new(3, Arc::default());
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(admitted(&connections).await);
        }
        places[0].activity.begin_request(false, false);
        assert_eq!(leave(&places), [false; 3]);
        places.push(admitted(&connections).await);
        assert_eq!(leave(&places), [false, true, false, false]);
        // It was told and has not left yet; another one has to.
        places.push(admitted(&connections).await);
        assert_eq!(leave(&places), [false, true, true, false, false]);
        assert_eq!(connections.count(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_come_to_life_since_the_look_stays() {
        let connections = Connections::new(2, Arc::default());
        let mut places = vec![admitted(&connections).await, admitted(&connections).await];
        places.push(admitted(&connections).await);
        places[1].activity.begin_request(false, false);
        places.push(admitted(&connections).await);
        assert_eq!(leave(&places), [true, false, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_busy_the_new_one_is_refused_until_one_leaves() {
        let connections = Connections::new(2, Arc::default());
        let places = [admitted(&connections).await, admitted(&connections).await];
        for place in &places {
            place.activity.begin_request(false, false);
        }
        assert!(matches!(connections.admit(), Admission::Refused));
        drop(places);
        assert_eq!(connections.count(), 0);
        assert!(matches!(connections.admit(), Admission::Admitted(_)));
    }
}
