//! `Router` and `Aliases`: every target must lead to a provider that is there, else a typing slip would show as
//! a 404 on the first request that takes that way.

use std::collections::BTreeMap;

use keypool_wire::ModelRef;

use super::checker::Checker;
use super::file::{RouterFile, Targets};
use super::path::FieldPath;
use super::providers::Providers;
use super::suggest::did_you_mean;

/// Where requests go that name no provider.
pub(super) struct Routes {
    /// Target of requests whose model names no provider.
    pub(super) default_target: Option<String>,
    /// Alias → targets, in the order of the file.
    pub(super) aliases: Vec<(String, Vec<String>)>,
}

/// Reads `Router` and `Aliases`.
pub(super) fn routes(
    router: RouterFile,
    mut aliases: BTreeMap<String, Targets>,
    providers: &Providers,
    checker: &mut Checker<'_>,
) -> Routes {
    let field = FieldPath::of(&["Aliases"]);
    let names = checker.root.names(&field);
    for name in &names {
        if name.is_empty() || name.contains(',') {
            checker.error(
                &field.field(name),
                format!("{name:?} is no alias: a name without comma is expected"),
            );
        }
        for (index, target) in aliases
            .get(name)
            .into_iter()
            .flat_map(|targets| &targets.0)
            .enumerate()
        {
            check_target(
                target,
                &[],
                providers,
                &field.field(name).index(index),
                checker,
            );
        }
    }
    let RouterFile {
        default,
        background,
        think,
        long_context,
        web_search,
        image,
        ..
    } = router;
    let targets = [
        ("default", &default),
        ("background", &background),
        ("think", &think),
        ("longContext", &long_context),
        ("webSearch", &web_search),
        ("image", &image),
    ];
    for (name, target) in targets {
        if let Some(target) = target.as_deref().filter(|target| !target.is_empty()) {
            check_target(
                target,
                &names,
                providers,
                &FieldPath::of(&["Router", name]),
                checker,
            );
        }
    }
    let in_order = |name: String| aliases.remove(&name).map(|targets| (name, targets.0));
    Routes {
        default_target: default.filter(|target| !target.is_empty()),
        aliases: names.into_iter().filter_map(in_order).collect(),
    }
}

fn check_target(
    target: &str,
    aliases: &[String],
    providers: &Providers,
    field: &FieldPath,
    checker: &mut Checker<'_>,
) {
    match ModelRef::parse(target) {
        ModelRef::Qualified { model: "", .. } => {
            checker.error(
                field,
                format!("{target:?} names no model: expected provider,model"),
            );
        }
        ModelRef::Qualified { provider, .. } if !providers.is_known(provider) => {
            let hint = did_you_mean(provider, providers.names());
            let known = known(providers);
            checker.error(
                field,
                format!("there is no provider {provider:?}{hint}{known}"),
            );
        }
        ModelRef::Qualified { .. } => {}
        ModelRef::Bare { name, slash } => {
            let by_slash = slash.is_some_and(|(provider, _)| providers.is_known(provider));
            let by_alias = aliases.iter().any(|alias| alias == name);
            if !by_slash && !by_alias && !providers.serves(name) {
                let message = format!("{target:?} names no provider: expected provider,model");
                checker.error(field, format!("{message}{}", known(providers)));
            }
        }
    }
}

fn known(providers: &Providers) -> String {
    let names: Vec<_> = providers.names().collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("; configured: {}", names.join(", "))
    }
}
