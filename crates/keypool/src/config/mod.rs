//! Reading `config.json`: found, parsed, held against its schema, checked for what a schema cannot say,
//! and turned into what the gateway runs on. Every error of a file comes out in one go, each with line,
//! column, field, the offending value (masked if secret) and what is allowed.

mod addresses;
mod checker;
mod document;
mod file;
mod keys;
mod load;
mod locate;
mod not_in_effect;
mod path;
mod places;
mod problem;
mod providers;
mod references;
mod remote;
mod routing;
mod schema;
mod suggest;
mod tenants;
mod validate;
mod wording;

#[cfg(test)]
mod tests;

pub use document::Position;
pub use file::LogLevel;
pub use load::{Loaded, load, read_json5};
pub use locate::locate;
pub use path::{FieldPath, Segment};
pub use problem::{LoadError, Problem};
pub use references::Environment;
pub use remote::{ClientSide, Endpoint, client_side, endpoint, reachable};
pub use schema::schema;
