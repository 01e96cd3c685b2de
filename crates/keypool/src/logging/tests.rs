use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use super::*;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lines(format: LogFormat, level: LogLevel, events: impl FnOnce()) -> Vec<String> {
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = subscriber(format, level, move || writer.clone());
    tracing::subscriber::with_default(subscriber, events);
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_line_about_the_pool_starts_with_the_prefix_and_no_other_does() {
    // acceptance 80
    let lines = lines(LogFormat::Human, LogLevel::Info, || {
        tracing::warn!(target: POOL_TARGET, provider = "anthropic", key = %"sk-a****key1", status = 429_u64, "failover");
        tracing::info!(target: "keypool_gateway::server", "started");
    });
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("[API-KEY-POOL] 2"), "{lines:?}");
    assert!(
        lines[0].ends_with("  WARN failover provider=anthropic key=sk-a****key1 status=429"),
        "{lines:?}"
    );
    assert!(
        !lines[1].contains("API-KEY-POOL") && lines[1].ends_with("  INFO started"),
        "{lines:?}"
    );
}

#[test]
fn json_lines_name_the_component() {
    // acceptance 80
    let lines = lines(LogFormat::Json, LogLevel::Info, || {
        tracing::warn!(target: POOL_TARGET, status = 429_u64, "failover");
        tracing::info!(target: "keypool_gateway::server", "started");
    });
    let parsed: Vec<serde_json::Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(parsed[0]["component"], "API-KEY-POOL");
    assert_eq!(parsed[0]["message"], "failover");
    assert_eq!(
        (&parsed[0]["level"], &parsed[0]["status"]),
        (&"warn".into(), &429.into())
    );
    assert!(parsed[1].get("component").is_none());
    assert!(parsed[1]["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn the_level_holds_for_keypool_and_other_crates_only_warn() {
    let lines = lines(LogFormat::Human, LogLevel::Debug, || {
        tracing::debug!(target: "keypool_gateway::traffic", "a request");
        tracing::trace!(target: "keypool_gateway::traffic", "details");
        tracing::info!(target: "h2::client", "noise");
        tracing::warn!(target: "h2::client", "trouble");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn a_message_from_outside_cannot_forge_a_line() {
    let lines = lines(LogFormat::Human, LogLevel::Info, || {
        let excerpt = "overloaded\n[API-KEY-POOL] all keys are healthy\u{1b}[2J";
        tracing::warn!(target: POOL_TARGET, excerpt, "upstream said: {excerpt}");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
}
