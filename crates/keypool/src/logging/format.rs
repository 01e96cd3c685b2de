//! How one event becomes one line.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{LogFormat, POOL_COMPONENT, POOL_TARGET};

/// Formats events as lines.
pub(super) struct LineFormat(pub(super) LogFormat);

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let about_pool = event.metadata().target().starts_with(POOL_TARGET);
        let time = format!("{:.3}", jiff::Timestamp::now());
        let level = *event.metadata().level();
        match self.0 {
            LogFormat::Human => line.write_human(writer, &time, level, about_pool),
            LogFormat::Json => line.write_json(writer, &time, level, about_pool),
        }
    }
}

/// What an event says.
#[derive(Default)]
struct Line {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    fn write_human(
        self,
        mut writer: Writer<'_>,
        time: &str,
        level: tracing::Level,
        about_pool: bool,
    ) -> fmt::Result {
        if about_pool {
            write!(writer, "[{POOL_COMPONENT}] ")?;
        }
        write!(writer, "{time} {level:>5} ")?;
        write_escaped(&mut writer, &self.message)?;
        for (name, value) in self.fields {
            write!(writer, " {name}=")?;
            match value {
                Value::String(text) if is_word(&text) => writer.write_str(&text)?,
                other => write!(writer, "{other}")?,
            }
        }
        writeln!(writer)
    }

    fn write_json(
        self,
        mut writer: Writer<'_>,
        time: &str,
        level: tracing::Level,
        about_pool: bool,
    ) -> fmt::Result {
        let mut object = Map::new();
        object.insert("timestamp".to_owned(), time.into());
        object.insert("level".to_owned(), level.as_str().to_lowercase().into());
        if about_pool {
            object.insert("component".to_owned(), POOL_COMPONENT.into());
        }
        object.insert("message".to_owned(), self.message.into());
        for (name, value) in self.fields {
            object.entry(name).or_insert(value);
        }
        writeln!(writer, "{}", Value::Object(object))
    }

    fn set(&mut self, field: &Field, value: Value) {
        match value {
            Value::String(text) if field.name() == "message" => self.message = text,
            value => self.fields.push((field.name(), value)),
        }
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.,:/*#%@+".contains(c))
}

fn write_escaped(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_control() {
            write!(writer, "{}", c.escape_default())?;
        } else {
            writer.write_char(c)?;
        }
    }
    Ok(())
}
