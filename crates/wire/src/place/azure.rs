//! OpenAI's models on Azure: a resource, the deployments in it, and two forms of URLs.
//!
//! With a dated version of the API (`2024-10-21`) the deployment stands in the path; without one, or with
//! `preview`, requests go to `/openai/v1/`, and the deployment stands in the body as the model.
//! Sources: classic form O-py; `/openai/v1/` and its optional `api-version` from Microsoft's page on the
//! lifecycle of API versions.

use super::{KeyPlace, PlaceError, is_label, path_and_query, segment};
use crate::base_url::{Call, UpstreamBase, has_version};
use crate::dialect::{Dialect, Endpoint};

/// The first dated version with the Responses API (S: `2025-03-01-preview`).
const RESPONSES_SINCE: &str = "2025-03-01";

/// A resource, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Azure {
    base: UpstreamBase,
    /// The deployment that the URL itself names.
    deployment: Option<String>,
    /// The dated version; `None` for the form without.
    dated: Option<String>,
}

impl Azure {
    pub(super) fn of(url: Option<&str>, said: &KeyPlace) -> Result<Self, PlaceError> {
        let url = match (&said.resource, url) {
            (Some(_), _) if said.base_url.is_some() => {
                let message = "stands beside a baseUrl, which says the same: write one of them";
                return Err(PlaceError::new("resource", message));
            }
            (Some(resource), _) => at_resource(resource)?,
            (None, Some(url)) => url.to_owned(),
            (None, None) => {
                let message = "is needed: the name of the resource, as in \
                               https://{resource}.openai.azure.com; or write a baseUrl";
                return Err(PlaceError::new("resource", message));
            }
        };
        // Checks it, too.
        let base = UpstreamBase::parse(Dialect::OpenAi, &url)?;
        let (path, query) = path_and_query(&url);
        let (version_in_url, query) = take_version(query);
        let version = said.api_version.clone().or(version_in_url);
        let (root, deployment) = match split_at_openai(path) {
            Some((root, rest)) => (root, deployment_in(rest)),
            // Somebody in between with paths of his own.
            None if has_version(path) => {
                let query = with_version(query, version.as_deref());
                return Ok(Self {
                    base: base.with_own_query(query),
                    deployment: None,
                    dated: None,
                });
            }
            None => (path, None),
        };
        let dated = match version.as_deref() {
            Some(text) if is_dated(text) => Some(text.to_owned()),
            Some("preview" | "latest" | "v1") | None if deployment.is_none() => None,
            Some("preview" | "latest" | "v1") | None => {
                let message = "is needed with a URL that names a deployment, such as 2024-10-21";
                return Err(PlaceError::new("apiVersion", message));
            }
            Some(_) => {
                let message = "is no version of Azure's API: write a date such as 2024-10-21 or \
                               2025-04-01-preview, or leave it out";
                return Err(PlaceError::new("apiVersion", message));
            }
        };
        let prefix = if dated.is_some() {
            format!("{root}/openai")
        } else {
            format!("{root}/openai/v1")
        };
        let query = with_version(query, version.as_deref());
        Ok(Self {
            base: base.with_prefix(prefix).with_own_query(query),
            deployment,
            dated,
        })
    }

    /// Whether the deployment stands in the path of this endpoint.
    pub(super) fn names_in_path(&self, endpoint: Endpoint) -> bool {
        self.dated.is_some() && endpoint != Endpoint::Responses
    }

    pub(super) fn url(&self, call: &Call<'_>, name: &str) -> String {
        if !self.names_in_path(call.endpoint) {
            return self.base.url(call);
        }
        let name = match &self.deployment {
            Some(deployment) if name == call.model => deployment,
            _ => name,
        };
        let path = format!("/deployments/{}{}", segment(name), call.endpoint.tail());
        self.base.url_of(&path, call.query)
    }

    pub(super) fn models_url(&self) -> String {
        self.base.models_url()
    }

    pub(super) fn serves_responses(&self) -> bool {
        let dated = self.dated.as_deref();
        dated.is_none_or(|date| date >= RESPONSES_SINCE)
    }
}

fn at_resource(resource: &str) -> Result<String, PlaceError> {
    if is_label(resource) {
        Ok(format!("https://{resource}.openai.azure.com"))
    } else {
        let message =
            "is no resource's name: letters, digits and dashes alone, without the rest of the host";
        Err(PlaceError::new("resource", message))
    }
}

/// `2024-10-21`, `2025-04-01-preview`.
fn is_dated(version: &str) -> bool {
    let date = version.strip_suffix("-preview").unwrap_or(version);
    date.len() == "2024-10-21".len()
        && date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// What stands before and behind the segment `openai` of a path.
fn split_at_openai(path: &str) -> Option<(&str, &str)> {
    path.split_once("/openai/")
        .or_else(|| Some((path.strip_suffix("/openai")?, "")))
}

/// The deployment in what follows `/openai/`.
fn deployment_in(rest: &str) -> Option<String> {
    let name = rest.strip_prefix("deployments/")?.split('/').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// A query's `api-version`, and the rest of it.
fn take_version(query: &str) -> (Option<String>, String) {
    let (versions, rest): (Vec<&str>, Vec<&str>) = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .partition(|pair| pair.starts_with("api-version="));
    let version = versions
        .last()
        .and_then(|pair| pair.strip_prefix("api-version="));
    (version.map(str::to_owned), rest.join("&"))
}

fn with_version(query: String, version: Option<&str>) -> Option<String> {
    let version = version
        .filter(|version| *version != "v1")
        .map(|version| format!("api-version={}", segment(version)));
    let pairs: Vec<String> = version
        .into_iter()
        .chain(Some(query).filter(|query| !query.is_empty()))
        .collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}
