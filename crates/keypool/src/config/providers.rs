//! Providers: `ApiKeyPool.providers` and `Providers` merged by name, with what is known about well-known names
//! filled in.

use keypool_gateway::Secret;
use keypool_gateway::config::{KeyEntry, ProviderConfig};
use keypool_pool::{Limits, Window};
use keypool_wire::{Dialect, Place, ProviderKind, UpstreamBase};

use super::checker::Checker;
use super::file::{PoolFile, PoolProviderFile, ProviderFile};
use super::keys;
use super::path::FieldPath;
use super::places;
use super::suggest::did_you_mean;

/// The providers of a file.
pub(super) struct Providers {
    /// Those that can be used, in the order of the file.
    pub(super) ready: Vec<ProviderConfig>,
    /// The names of all that the file speaks of, usable or not.
    names: Vec<String>,
}

impl Providers {
    /// Whether the file has a provider of that name.
    pub(super) fn is_known(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The names of the providers that list a model.
    pub(super) fn that_list(&self, model: &str) -> Vec<&str> {
        let lists = |provider: &&ProviderConfig| provider.models.iter().any(|one| one == model);
        let listing = self.ready.iter().filter(lists);
        listing.map(|provider| provider.name.as_str()).collect()
    }
}

/// One provider, from one section or both.
struct Draft<'a> {
    name: &'a str,
    /// Its entry under `ApiKeyPool.providers`.
    pooled: Option<(FieldPath, &'a PoolProviderFile)>,
    /// Its entry in `Providers`.
    plain: Option<(FieldPath, &'a ProviderFile)>,
}

/// Reads and merges the providers. Without `pooling`, only `Providers` counts.
pub(super) fn providers(
    pool: &PoolFile,
    pooling: bool,
    plain: &[Option<ProviderFile>],
    checker: &mut Checker<'_>,
) -> Providers {
    let pooled_path = FieldPath::of(&["ApiKeyPool", "providers"]);
    let pooled_names = if pooling {
        checker.root.names(&pooled_path)
    } else {
        Vec::new()
    };
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    for name in &pooled_names {
        if let Some((name, file)) = pool.providers.get_key_value(name) {
            let pooled = Some((pooled_path.field(name), file));
            drafts.push(Draft {
                name,
                pooled,
                plain: None,
            });
        }
    }
    add_plain(&mut drafts, plain, checker);
    let ready: Vec<_> = drafts
        .iter()
        .filter_map(|draft| draft.finish(pool, checker))
        .collect();
    let mut names = pooled_names;
    for name in plain_names(plain.len(), checker) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        nothing_to_serve(pool, pooling, checker);
    }
    Providers { ready, names }
}

fn add_plain<'a>(
    drafts: &mut Vec<Draft<'a>>,
    plain: &'a [Option<ProviderFile>],
    checker: &mut Checker<'_>,
) {
    for (index, file) in plain.iter().enumerate() {
        let Some(file) = file else { continue };
        let field = FieldPath::of(&["Providers"]).index(index);
        match drafts.iter_mut().find(|draft| draft.name == file.name) {
            None => drafts.push(Draft {
                name: &file.name,
                pooled: None,
                plain: Some((field, file)),
            }),
            Some(draft) if draft.plain.is_none() => draft.plain = Some((field, file)),
            Some(_) => checker.error(
                &field.field("name"),
                format!("the provider {:?} stands in Providers twice", file.name),
            ),
        }
    }
}

/// Names in `Providers`, also of entries which do not fit the schema: a target may well name one.
fn plain_names(count: usize, checker: &Checker<'_>) -> Vec<String> {
    let name = |index| {
        let field = FieldPath::of(&["Providers"]).index(index).field("name");
        checker.root.get(&field)?.as_str().map(str::to_owned)
    };
    (0..count).filter_map(name).collect()
}

fn nothing_to_serve(pool: &PoolFile, pooling: bool, checker: &mut Checker<'_>) {
    if !pooling && !pool.providers.is_empty() {
        let message = "false leaves the gateway without any key: set it to true, or list a provider in Providers";
        checker.error(&FieldPath::of(&["ApiKeyPool", "enabled"]), message);
        return;
    }
    let message = "no provider is configured: list keys under ApiKeyPool.providers.<name>.keys, or one in Providers";
    checker.error(&FieldPath::of(&["ApiKeyPool", "providers"]), message);
}

impl Draft<'_> {
    /// Where errors about the provider as a whole are shown.
    fn field(&self) -> FieldPath {
        match (&self.pooled, &self.plain) {
            (Some((field, _)), _) | (None, Some((field, _))) => field.clone(),
            (None, None) => FieldPath::default(),
        }
    }

    fn finish(&self, pool: &PoolFile, checker: &mut Checker<'_>) -> Option<ProviderConfig> {
        if self.name.is_empty()
            || self.name.contains([',', '/'])
            || self.name.contains(char::is_whitespace)
        {
            let message = format!(
                "{:?} is no provider name: a comma, slash or space would not fit into provider,model",
                self.name
            );
            checker.error(&self.field(), message);
            return None;
        }
        let upstream = self.upstream(checker);
        let default = PoolProviderFile::default();
        let file = self.pooled.as_ref().map_or(&default, |(_, file)| *file);
        let quota_groups = self.quota_groups(checker);
        let keys = self.keys(upstream.as_ref(), checker);
        let upstream = upstream?;
        let serves_responses = file
            .responses
            .unwrap_or_else(|| upstream.serves_responses(&keys));
        Some(ProviderConfig {
            name: self.name.to_owned(),
            kind: upstream.kind,
            dialect: upstream.dialect,
            base_url: upstream.base_url,
            strategy: file.strategy.unwrap_or(pool.strategy).into(),
            window: file.window.map(Window::from),
            correct_limits: file.correct_limits.unwrap_or(true),
            sequential: file.sequential.unwrap_or_default().into(),
            quota_groups,
            models: self
                .plain
                .as_ref()
                .map(|(_, plain)| plain.models.clone())
                .unwrap_or_default(),
            serves_responses,
            output_tokens_max: file.max_output_tokens,
            drops_server_tools: file.drop_server_tools.unwrap_or(false),
            keys,
        })
    }

    fn quota_groups(&self, checker: &Checker<'_>) -> Vec<(String, Limits)> {
        let Some((field, file)) = &self.pooled else {
            return Vec::new();
        };
        let names = checker.root.names(&field.field("quotaGroups"));
        let limits = |name: String| {
            let group = file.quota_groups.get(&name)?;
            let limits = group.rate_limit.clone().unwrap_or_default().into();
            Some((name, limits))
        };
        names.into_iter().filter_map(limits).collect()
    }

    fn keys(&self, upstream: Option<&Upstream>, checker: &mut Checker<'_>) -> Vec<KeyEntry> {
        let mut entries = Vec::new();
        let mut listed = 0;
        if let Some((field, file)) = &self.pooled {
            listed += file.keys.len();
            entries = keys::pooled_keys(file, upstream, field, checker);
        }
        if let Some((field, file)) = &self.plain
            && let Some(text) = &file.api_key
        {
            listed += 1;
            let secret = checker.secret(text, &field.field("api_key"));
            // The same key in the pool says more about itself.
            let secret = secret
                .filter(|secret| entries.iter().all(|entry| entry.secret.id() != secret.id()));
            if let Some(entry) = secret.map(KeyEntry::new) {
                if let Some(upstream) = upstream {
                    places::check(&entry, upstream, field, checker);
                }
                entries.push(entry);
            }
        }
        if listed == 0 && upstream.is_some_and(|it| it.kind.is_open()) {
            entries.push(KeyEntry::new(Secret::new(KeyEntry::NO_KEY)));
        } else if listed == 0 {
            let name = if self.pooled.is_some() {
                "keys"
            } else {
                "api_key"
            };
            checker.error(
                &self.field().field(name),
                format!("the provider {:?} has no key", self.name),
            );
        } else if !entries.is_empty() && entries.iter().all(|entry| !entry.enabled) {
            checker.warn(&self.field().field("keys"), "every key is disabled");
        }
        entries
    }
}

/// Where a provider is and what it speaks.
pub(super) struct Upstream {
    /// Whose rules hold.
    pub(super) kind: ProviderKind,
    /// What it speaks.
    pub(super) dialect: Dialect,
    /// The base URL of all keys that say nothing else.
    pub(super) base_url: Option<String>,
}

impl Upstream {
    /// Whether the Responses API is to be had with each of the keys.
    fn serves_responses(&self, keys: &[KeyEntry]) -> bool {
        let served_with = |key: &KeyEntry| {
            Place::of(
                self.kind,
                self.dialect,
                self.base_url.as_deref(),
                &key.place,
            )
            .is_ok_and(|place| place.serves_responses())
        };
        self.kind.serves_responses() && keys.iter().all(served_with)
    }
}

impl Draft<'_> {
    fn upstream(&self, checker: &mut Checker<'_>) -> Option<Upstream> {
        let (url_field, url) = self.base_url(checker);
        let url_given = url.is_some();
        let kind = match self.kind(checker) {
            Ok(kind) => kind.or_else(|| kind_of_host(url.as_deref()?)),
            Err(()) => return None,
        };
        let protocol = self.protocol();
        let assumed = self.pooled.is_none().then_some(Dialect::OpenAi);
        let dialect = protocol
            .or_else(|| kind.map(ProviderKind::dialect))
            .or_else(|| dialect_of_endpoint(url.as_deref()?))
            .or(assumed.filter(|_| url_given));
        let has_other_dialect = kind.is_some_and(|kind| dialect != Some(kind.dialect()));
        let default_url = kind
            .filter(|_| !has_other_dialect)
            .and_then(ProviderKind::default_base_url);
        let base_url = url.or_else(|| default_url.map(str::to_owned));
        match (base_url, dialect) {
            (Some(base_url), Some(dialect)) => {
                check_url(&base_url, dialect, &url_field, checker);
                Some(Upstream {
                    kind: kind.unwrap_or(ProviderKind::Generic(dialect)),
                    dialect,
                    base_url: Some(base_url),
                })
            }
            (None, Some(dialect)) if kind.is_some_and(|kind| kind.is_placed_by_key(dialect)) => {
                Some(Upstream {
                    kind: kind.unwrap_or(ProviderKind::Generic(dialect)),
                    dialect,
                    base_url: None,
                })
            }
            (None, Some(_)) if kind.is_some() => {
                let message = "is needed, since the protocol is not this provider's usual one";
                checker.error(&url_field, message);
                None
            }
            (None, _) => {
                let hint = did_you_mean(self.name, ProviderKind::names());
                let known = ProviderKind::names().collect::<Vec<_>>().join(", ");
                let message = format!(
                    "is needed, since {:?} is not one of the known names{hint}; known: {known}",
                    self.name
                );
                checker.error(&url_field, message);
                None
            }
            (Some(_), None) => {
                let message = "is needed, since neither name nor URL tells: expected one of \"anthropic\", \"openai\", \"gemini\"";
                checker.error(&self.field().field("protocol"), message);
                None
            }
        }
    }

    /// The configured base URL, and the field where it stands or would stand.
    fn base_url(&self, checker: &mut Checker<'_>) -> (FieldPath, Option<String>) {
        let pooled = self
            .pooled
            .as_ref()
            .map(|(field, file)| (field.field("baseUrl"), &file.base_url));
        let plain = self
            .plain
            .as_ref()
            .map(|(field, file)| (field.field("api_base_url"), &file.api_base_url));
        let given = [pooled.clone(), plain.clone()]
            .into_iter()
            .flatten()
            .find(|(_, url)| url.is_some());
        match given.or(pooled).or(plain) {
            Some((field, url)) => {
                let url = url.as_deref().and_then(|text| checker.text(text, &field));
                (field, url)
            }
            None => (self.field(), None),
        }
    }

    /// Whose rules hold: what `kind` says, else the name.
    fn kind(&self, checker: &mut Checker<'_>) -> Result<Option<ProviderKind>, ()> {
        let Some((field, text)) = self
            .pooled
            .as_ref()
            .and_then(|(field, file)| Some((field, file.kind.as_ref()?)))
        else {
            return Ok(ProviderKind::from_name(self.name));
        };
        let kind = ProviderKind::from_name(text);
        if kind.is_none() {
            let hint = did_you_mean(text, ProviderKind::names());
            let known = ProviderKind::names().collect::<Vec<_>>().join(", ");
            let message = format!("{text:?} is none of the known names{hint}; known: {known}");
            checker.error(&field.field("kind"), message);
        }
        kind.map(Some).ok_or(())
    }

    fn protocol(&self) -> Option<Dialect> {
        let pooled = self.pooled.as_ref().and_then(|(_, file)| file.protocol);
        let plain = self.plain.as_ref().and_then(|(_, file)| file.protocol);
        pooled.or(plain).map(Dialect::from)
    }
}

/// Reports a base URL that no request could be sent to.
fn check_url(url: &str, dialect: Dialect, field: &FieldPath, checker: &mut Checker<'_>) {
    if let Err(error) = UpstreamBase::parse(dialect, url) {
        checker.error(
            field,
            format!("{:?} is not a base URL: {error}", shown_url(url)),
        );
    }
}

/// A URL without what may be secret in it: user and password, query.
fn shown_url(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = bare.split_once("://").unwrap_or(("", bare));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() {
        rest.to_owned()
    } else {
        format!("{scheme}://{rest}")
    }
}

/// The provider whose own host a URL names.
fn kind_of_host(url: &str) -> Option<ProviderKind> {
    let host = |url: &str| url.parse::<http::Uri>().ok()?.host().map(str::to_lowercase);
    let wanted = host(url)?;
    let is_at = |kind: &ProviderKind| {
        kind.default_base_url()
            .and_then(host)
            .is_some_and(|host| host == wanted)
    };
    ProviderKind::names()
        .filter_map(ProviderKind::from_name)
        // Anything may run on this machine.
        .filter(|kind| !kind.is_open())
        .find(is_at)
}

/// The dialect of a full endpoint URL, as claude-code-router writes it.
fn dialect_of_endpoint(url: &str) -> Option<Dialect> {
    let path = url
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .trim_end_matches('/');
    if path.ends_with("/messages") {
        Some(Dialect::Anthropic)
    } else if ["/chat/completions", "/responses", "/embeddings"]
        .iter()
        .any(|end| path.ends_with(end))
    {
        Some(Dialect::OpenAi)
    } else if path.ends_with("/v1beta") || path.ends_with("/v1beta/models") {
        Some(Dialect::Gemini)
    } else {
        None
    }
}
