//! `GET /v1/models` and `GET /v1/models/{id}`: the models that clients may name, in the asker's dialect.
//!
//! Listed are aliases and, as `provider,model`, the models that the configuration names; those of a provider
//! for which it names none are what the provider says. The list is in the order of its ids, so that a page
//! can begin behind any id, listed or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Request, Response};
use keypool_wire::{Dialect, ModelRef, OwnError};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::answer::{Retry, error_response, json_response};
use crate::body::AnswerBody;
use crate::catalogue::Model;
use crate::limits;
use crate::live::Live;
use crate::provider::Provider;
use crate::upstream::UpstreamClient;

/// Where lists of models are, and below them each of the models. The second is Gemini's alone.
const PATHS: [&str; 2] = ["/v1/models", "/v1beta/models"];

/// Tells whose models are missing, since they did not say which they have.
const MISSING_HEADER: HeaderName = HeaderName::from_static("x-keypool-models-missing");

/// Both dialects require a date, and of what only the configuration names none is known.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Whether a path asks for models.
#[must_use]
pub(crate) fn is_models_path(path: &str) -> bool {
    asked_of(path).is_some()
}

/// The model in the path, as it is written there; an empty one for all.
fn asked_of(path: &str) -> Option<&str> {
    let rest = PATHS.iter().find_map(|prefix| path.strip_prefix(prefix))?;
    rest.strip_prefix('/')
        .or_else(|| rest.is_empty().then_some(""))
}

/// Which dialect a client that asks for models speaks. Not told by where its key is: current Anthropic SDKs
/// send it as a bearer token.
#[must_use]
pub(crate) fn models_dialect<B>(request: &Request<B>) -> Dialect {
    let (headers, uri) = (request.headers(), request.uri());
    let has_key = |query: &str| query.split('&').any(|pair| pair.starts_with("key="));
    if headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else if headers.contains_key("x-goog-api-key")
        || uri.path().starts_with("/v1beta/")
        || uri.query().is_some_and(has_key)
    {
        Dialect::Gemini
    } else {
        Dialect::OpenAi
    }
}

/// What is listed of a model.
struct Listed {
    /// Who serves it.
    owner: String,
    said: Option<Said>,
}

/// What a provider says of a model: in which dialect, in which list, and where in it.
type Said = (Dialect, Arc<[Model]>, usize);

/// Models by the name that a client may write.
type List = BTreeMap<String, Listed>;

/// Answers one who asks for the models, or for one of them.
pub(crate) async fn answer_models<B>(
    live: &Live,
    upstream: &UpstreamClient,
    request: &Request<B>,
) -> Response<AnswerBody> {
    let dialect = models_dialect(request);
    let (list, missing) = list(live, upstream).await;
    let mut response = match asked_of(request.uri().path()).unwrap_or_default() {
        "" => {
            let page = Page::read(request.uri().query().unwrap_or_default());
            json_response(200, page.of(&list, dialect).to_string())
        }
        id => {
            let name = percent_decode_str(id).decode_utf8_lossy();
            match find(&list, &name) {
                Some(listed) => {
                    let entry = listed.entry(name.trim(), dialect);
                    json_response(200, Value::from(entry).to_string())
                }
                None => unknown_model(dialect, &name),
            }
        }
    };
    if live.config.answer_headers
        && !missing.is_empty()
        && let Ok(names) = HeaderValue::try_from(missing.join(", "))
    {
        response.headers_mut().insert(MISSING_HEADER, names);
    }
    response
}

/// All models, and the providers that did not say which they have.
async fn list<'l>(live: &'l Live, upstream: &UpstreamClient) -> (List, Vec<&'l str>) {
    let own = |(alias, _): &(String, Vec<String>)| {
        let owner = "keypool".to_owned();
        (alias.clone(), Listed { owner, said: None })
    };
    let mut list: List = live.config.aliases.iter().map(own).collect();
    let mut missing = Vec::new();
    let providers = live.providers().iter().map(async |provider| {
        let models = models_of(provider, upstream).await;
        (provider, models)
    });
    for (provider, models) in join_all(providers).await {
        let Some(models) = models else {
            missing.push(provider.name.as_str());
            continue;
        };
        list.extend(models.into_iter().map(|(model, said)| {
            let owner = provider.name.clone();
            (format!("{owner},{model}"), Listed { owner, said })
        }));
    }
    (list, missing)
}

async fn models_of(
    provider: &Provider,
    upstream: &UpstreamClient,
) -> Option<Vec<(String, Option<Said>)>> {
    let mut models = all_models_of(provider, upstream).await?;
    // What no key may serve could be named, and would be refused.
    provider
        .pool
        .with(|pool, _| models.retain(|(model, _)| pool.lists_model(model)));
    Some(models)
}

async fn all_models_of(
    provider: &Provider,
    upstream: &UpstreamClient,
) -> Option<Vec<(String, Option<Said>)>> {
    let settings = provider.settings();
    if !settings.models.is_empty() {
        return Some(
            settings
                .models
                .iter()
                .map(|model| (model.clone(), None))
                .collect(),
        );
    }
    let models = provider.catalogue.models(provider, upstream).await?;
    let said = |(index, model): (usize, &Model)| {
        (
            model.id.clone(),
            Some((settings.dialect, models.clone(), index)),
        )
    };
    Some(models.iter().enumerate().map(said).collect())
}

/// The model of a name in any of its forms.
fn find<'l>(list: &'l List, name: &str) -> Option<&'l Listed> {
    let canonical = match ModelRef::parse(name) {
        ModelRef::Qualified { provider, model } => format!("{provider},{model}"),
        ModelRef::Bare { name, slash } => {
            let slashed = slash.map(|(provider, model)| format!("{provider},{model}"));
            match slashed.filter(|slashed| list.contains_key(slashed)) {
                Some(slashed) => slashed,
                None if list.contains_key(name) => name.to_owned(),
                None => {
                    let is_it =
                        |id: &&String| id.split_once(',').is_some_and(|(_, model)| model == name);
                    let mut named = list.keys().filter(is_it);
                    let only = named.next().filter(|_| named.next().is_none())?;
                    only.clone()
                }
            }
        }
    };
    list.get(&canonical)
}

impl Listed {
    /// What the provider says, if it speaks the asker's dialect, else what little is known.
    fn entry(&self, id: &str, dialect: Dialect) -> Map<String, Value> {
        let said = self.said.as_ref().filter(|(spoken, ..)| *spoken == dialect);
        let said = said.and_then(|(_, models, index)| Some(models.get(*index)?.entry.clone()));
        let mut entry = said.unwrap_or_else(|| match dialect {
            Dialect::Anthropic => members([
                ("type", "model".into()),
                ("display_name", id.into()),
                ("created_at", CREATED.into()),
            ]),
            Dialect::OpenAi => members([
                ("object", "model".into()),
                ("created", 0.into()),
                ("owned_by", self.owner.as_str().into()),
            ]),
            // Clients of Gemini's pick models by the methods that they have.
            Dialect::Gemini => members([
                ("displayName", id.into()),
                (
                    "supportedGenerationMethods",
                    json!(["generateContent", "countTokens"]),
                ),
            ]),
        });
        match dialect {
            Dialect::Anthropic | Dialect::OpenAi => entry.insert("id".to_owned(), id.into()),
            Dialect::Gemini => entry.insert("name".to_owned(), format!("models/{id}").into()),
        };
        entry
    }
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    let named = |(name, value): (&str, Value)| (name.to_owned(), value);
    members.into_iter().map(named).collect()
}

/// A part of the list. `after` and `before` are ids, in Anthropic's words `after_id` and `before_id`, in Gemini's
/// `pageToken`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
}

impl Page {
    fn read(query: &str) -> Self {
        let mut page = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = percent_decode_str(value).decode_utf8_lossy();
            match name {
                "limit" | "pageSize" => page.limit = value.parse().ok().filter(|&limit| limit > 0),
                "after_id" | "pageToken" if !value.is_empty() => {
                    page.after = Some(value.into_owned());
                }
                "before_id" if !value.is_empty() => page.before = Some(value.into_owned()),
                _ => {}
            }
        }
        page
    }

    fn of(&self, list: &List, dialect: Dialect) -> Value {
        let (shown, more) = self.cut(list, dialect);
        let entry = |(id, listed): &(&String, &Listed)| Value::from(listed.entry(id, dialect));
        let entries: Vec<Value> = shown.iter().map(entry).collect();
        let first = shown.first().map(|(id, _)| id);
        let final_one = shown.last().map(|(id, _)| id);
        match dialect {
            Dialect::Anthropic => json!({
                "data": entries,
                "has_more": more,
                "first_id": first,
                "last_id": final_one,
            }),
            Dialect::OpenAi => json!({"object": "list", "data": entries}),
            Dialect::Gemini => match final_one.filter(|_| more) {
                Some(next) => json!({"models": entries, "nextPageToken": next}),
                None => json!({"models": entries}),
            },
        }
    }

    /// The part, and whether there is more in its direction. OpenAI's lists have no parts.
    fn cut<'l>(&self, list: &'l List, dialect: Dialect) -> (Vec<(&'l String, &'l Listed)>, bool) {
        if dialect == Dialect::OpenAi {
            return (list.iter().collect(), false);
        }
        let limit = self
            .limit
            .unwrap_or(limits::MODELS_PER_PAGE)
            .min(limits::MODELS_PER_PAGE);
        let after = |id: &str| self.after.as_deref().is_none_or(|after| id > after);
        let before = |id: &str| self.before.as_deref().is_none_or(|before| id < before);
        let within = list.iter().filter(|(id, _)| after(id) && before(id));
        let mut part: Vec<_> = if self.before.is_some() {
            within.rev().take(limit + 1).collect()
        } else {
            within.take(limit + 1).collect()
        };
        let more = part.len() > limit;
        part.truncate(limit);
        if self.before.is_some() {
            part.reverse();
        }
        (part, more)
    }
}

fn unknown_model(dialect: Dialect, id: &str) -> Response<AnswerBody> {
    let id = keypool_wire::excerpt(id);
    let error = OwnError {
        status: 404,
        code: "unknown_model",
        message: format!("model {id:?} is not listed; GET /v1/models tells which are"),
    };
    error_response(dialect, &error, Retry::Never)
}
