//! Telling a want of the system's own, of file descriptors above all, from the failure of one connection.
//!
//! A connection to a provider that fails because this machine has no descriptor left says nothing about the
//! provider, and no key may be blamed for it. It is made as soon as some are free again.

use std::io;

use rustix::io::Errno;

/// What the system runs out of: descriptors of the process or of the machine, memory, local ports.
const WANTS: [Errno; 5] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOBUFS,
    Errno::NOMEM,
    Errno::ADDRNOTAVAIL,
];

/// Whether the system had none left to give.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|error| WANTS.contains(&error))
}

/// The same of an error or any of its causes.
pub(crate) fn is_from_exhaustion(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(is_exhausted) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_want_is_found_wherever_it_is_among_the_causes() {
        let want = || io::Error::from(Errno::MFILE);
        assert!(is_exhausted(&want()));
        assert!(is_from_exhaustion(&Outer(want())));
        assert!(is_from_exhaustion(&Outer(io::Error::other(Outer(want())))));
        for failure in [Errno::CONNABORTED, Errno::CONNREFUSED, Errno::TIMEDOUT] {
            assert!(!is_exhausted(&failure.into()));
        }
        assert!(!is_from_exhaustion(&Outer(io::ErrorKind::Other.into())));
    }
}
