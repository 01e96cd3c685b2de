//! The `Tenants` section.

use keypool_pool::Urgency;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretText;

/// A group of clients with a key of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TenantFile {
    /// What people call it; `default` is who presents APIKEY.
    #[schemars(length(min = 1))]
    pub(crate) name: String,
    /// The key that its clients present instead of APIKEY. It opens no admin route.
    pub(crate) key: SecretText,
    /// Its share beside the others' while requests wait for room; default 1.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) weight: Option<u32>,
    /// The urgency of its requests that name none; default normal.
    #[serde(default)]
    pub(crate) priority: Option<UrgencyName>,
}

/// How soon a request wants to be served when not all can be at once.
#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UrgencyName {
    /// Someone stands still until it is answered.
    Critical,
    /// Before the usual.
    High,
    /// The usual.
    #[default]
    Normal,
    /// After the usual.
    Low,
    /// Whenever there is room to spare.
    Batch,
}

impl From<UrgencyName> for Urgency {
    fn from(name: UrgencyName) -> Self {
        match name {
            UrgencyName::Critical => Self::Critical,
            UrgencyName::High => Self::High,
            UrgencyName::Normal => Self::Normal,
            UrgencyName::Low => Self::Low,
            UrgencyName::Batch => Self::Batch,
        }
    }
}
