//! The log: on standard error, for people or as JSON, one line per event.
//!
//! Every line about the pool carries the prefix `[API-KEY-POOL]`, in JSON the field `component`, so that
//! one search finds all of them. Messages hold texts of providers; control characters are escaped, so
//! that nobody outside can forge a line.

mod format;

use std::fmt;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::config;
use format::LineFormat;

/// The target under which the gateway logs what concerns the pool.
const POOL_TARGET: &str = "keypool::pool";

/// What marks a line about the pool.
const POOL_COMPONENT: &str = "API-KEY-POOL";

/// The form of a line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What needs a person.
    Error,
    /// What may need one.
    Warn,
    /// One line per failover, state change and recovery.
    #[default]
    Info,
    /// One line per request.
    Debug,
    /// Everything.
    Trace,
}

/// Starts logging to standard error, for the rest of the process.
pub fn start(format: LogFormat, level: LogLevel) -> Result<(), SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(format, level, std::io::stderr))
}

/// Starts logging to a file, to whose end it is added, for the rest of the process.
pub fn start_in_file(
    file: std::fs::File,
    format: LogFormat,
    level: LogLevel,
) -> Result<(), SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(format, level, std::sync::Mutex::new(file)))
}

fn subscriber<W>(format: LogFormat, level: LogLevel, writer: W) -> impl tracing::Subscriber
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = LevelFilter::from(level);
    // Of other people's crates only what is wrong.
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("keypool", level);
    let layer = tracing_subscriber::fmt::layer()
        .event_format(LineFormat(format))
        .with_ansi(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(layer).with(filter)
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

impl From<config::LogLevel> for LogLevel {
    fn from(level: config::LogLevel) -> Self {
        match level {
            config::LogLevel::Fatal | config::LogLevel::Error => Self::Error,
            config::LogLevel::Warn => Self::Warn,
            config::LogLevel::Info => Self::Info,
            config::LogLevel::Debug => Self::Debug,
            config::LogLevel::Trace => Self::Trace,
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests;
