//! The simulator over real sockets on the loopback interface.

mod answers;
#[cfg(test)]
mod client;
mod control;
mod faults;
mod gemini;
mod oddities;
mod state;
