//! File descriptors: as many as the system allows, and how many of them clients may have.
//!
//! Most systems start a process with 1,024 and let it have far more if it asks.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::limits;

/// Asks for as many as may be had; answers how many those are.
pub(super) fn raise_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .unwrap_or(limits::DESCRIPTORS)
        .min(limits::DESCRIPTORS);
    let now = limit.current.unwrap_or(u64::MAX);
    if now >= wanted {
        return now;
    }
    limit.current = Some(wanted);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!("the limit of open files stays at {now}: {error}");
            now
        }
    }
}

/// How many connections of clients leave enough descriptors for all else.
pub(super) fn connections(wanted: usize, descriptors: u64) -> usize {
    let (part, of) = limits::CONNECTION_SHARE;
    let most = usize::try_from(descriptors / of * part).unwrap_or(usize::MAX);
    if most < wanted {
        tracing::info!(
            "{descriptors} open files are allowed: clients may have {most} connections at a time \
             and not {wanted}; raise the limit (ulimit -Hn, LimitNOFILE)"
        );
    }
    most.min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_they_may_have_or_three_quarters_of_what_there_is() {
        assert_eq!(connections(1000, 100_000), 1000);
        assert_eq!(connections(1000, 100), 75);
    }

    #[test]
    fn the_limit_is_raised_to_what_may_be_had() {
        let raised = raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(u64::MAX), raised);
        let most = limit.maximum.unwrap_or(limits::DESCRIPTORS);
        assert!(raised >= most.min(limits::DESCRIPTORS));
    }
}
