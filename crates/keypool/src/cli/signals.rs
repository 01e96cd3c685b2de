//! What the operating system asks of a server, and of a program that stands before another.

use std::io;

/// A request of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Read the configuration anew.
    Reload,
    /// Finish what is in flight, and stop.
    Stop,
}

/// Catches the signals from its creation on.
pub(super) struct Signals {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to catch. Within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Begins to catch. Within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Stop,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Signals that a program which waits for its child hands on to it.
#[cfg(unix)]
pub(super) struct Passing {
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
}

/// A signal for the child.
#[cfg(unix)]
pub(super) struct Passed(Option<rustix::process::Signal>);

#[cfg(unix)]
impl Passing {
    /// Begins to catch. Within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Passed {
        use rustix::process::Signal;
        use std::io::IsTerminal as _;
        // What is typed at a terminal reaches the child without us, and twice means something else to it.
        let unless_typed = |signal| (!io::stdin().is_terminal()).then_some(signal);
        Passed(tokio::select! {
            _ = self.terminate.recv() => Some(Signal::TERM),
            _ = self.hangup.recv() => Some(Signal::HUP),
            _ = self.interrupt.recv() => unless_typed(Signal::INT),
            _ = self.quit.recv() => unless_typed(Signal::QUIT),
        })
    }
}

#[cfg(unix)]
impl Passed {
    /// Hands it on. A child that has ended meanwhile needs none.
    pub(super) fn pass_to(&self, child: Option<i32>) {
        let child = child.and_then(rustix::process::Pid::from_raw);
        if let (Some(signal), Some(child)) = (self.0, child) {
            let _ = rustix::process::kill_process(child, signal);
        }
    }
}

/// Where there are no signals but the console's, which reach the child without us.
#[cfg(not(unix))]
pub(super) struct Passing;

/// A signal that needs no passing on.
#[cfg(not(unix))]
pub(super) struct Passed;

#[cfg(not(unix))]
impl Passing {
    /// Begins to catch. Within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Passed {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Passed,
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
impl Passed {
    /// The child has it already.
    pub(super) fn pass_to(&self, _child: Option<i32>) {}
}
