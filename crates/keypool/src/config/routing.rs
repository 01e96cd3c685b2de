//! `Router`, `fallback` and `Aliases`: every target must lead to a provider that is there, else a typing slip would
//! show as a 404 on the first request that takes that way.

use std::collections::BTreeMap;

use keypool_gateway::config::RouterConfig;
use keypool_wire::ModelRef;

use super::checker::Checker;
use super::file::{FallbackFile, RouteFile, RouterFile, TARGETS_MAX, Targets};
use super::path::FieldPath;
use super::providers::Providers;
use super::suggest::did_you_mean;

/// Where requests go that name no provider.
pub(super) struct Routes {
    /// Which targets serve which kind of request.
    pub(super) router: RouterConfig,
    /// Alias → targets, in the order of the file.
    pub(super) aliases: Vec<(String, Vec<String>)>,
}

/// Reads `Router`, `fallback` and `Aliases`.
pub(super) fn routes(
    router: RouterFile,
    fallback: FallbackFile,
    aliases: BTreeMap<String, Targets>,
    providers: &Providers,
    checker: &mut Checker<'_>,
) -> Routes {
    let aliases = read_aliases(aliases, providers, checker);
    let mut rules = Rules {
        aliases: &aliases,
        providers,
        checker,
    };
    let default = RouterConfig::default();
    let router = RouterConfig {
        default: rules.rule("default", router.default, fallback.default),
        background: rules.rule("background", router.background, fallback.background),
        think: rules.rule("think", router.think, fallback.think),
        long_context: rules.rule("longContext", router.long_context, fallback.long_context),
        long_context_threshold: router
            .long_context_threshold
            .unwrap_or(default.long_context_threshold),
        web_search: rules.rule("webSearch", router.web_search, fallback.web_search),
        image: rules.rule("image", router.image, fallback.image),
    };
    Routes { router, aliases }
}

fn read_aliases(
    mut aliases: BTreeMap<String, Targets>,
    providers: &Providers,
    checker: &mut Checker<'_>,
) -> Vec<(String, Vec<String>)> {
    let field = FieldPath::of(&["Aliases"]);
    let mut read = Vec::new();
    for name in checker.root.names(&field) {
        if name.is_empty() || name.contains(',') {
            checker.error(
                &field.field(&name),
                format!("{name:?} is no alias: a name without comma is expected"),
            );
        }
        let Some(Targets(targets)) = aliases.remove(&name) else {
            continue;
        };
        for (index, target) in targets.iter().enumerate() {
            let field = field.field(&name).index(index);
            check_target(target, providers, &field, checker);
        }
        read.push((name, targets));
    }
    read
}

/// Reads the rules.
struct Rules<'a, 'c, 'f> {
    aliases: &'a [(String, Vec<String>)],
    providers: &'a Providers,
    checker: &'c mut Checker<'f>,
}

impl Rules<'_, '_, '_> {
    /// All targets of a rule, with aliases resolved.
    fn rule(
        &mut self,
        name: &str,
        wanted: Option<RouteFile>,
        fallbacks: Vec<String>,
    ) -> Vec<String> {
        let field = FieldPath::of(&["Router", name]);
        let RouteFile { targets, is_list } = wanted.unwrap_or_default();
        let place = |index| {
            if is_list {
                field.index(index)
            } else {
                field.clone()
            }
        };
        let mut read = Vec::new();
        for (index, target) in targets.into_iter().enumerate() {
            self.add(&mut read, target, &place(index));
        }
        let fallback_field = FieldPath::of(&["fallback", name]);
        if read.is_empty() && !fallbacks.is_empty() {
            let message = format!("has no effect without Router.{name}");
            self.checker.warn(&fallback_field, message);
            return read;
        }
        for (index, target) in fallbacks.into_iter().enumerate() {
            self.add(&mut read, target, &fallback_field.index(index));
        }
        if read.len() > TARGETS_MAX {
            let message = format!(
                "has {} targets with its fallbacks and all that its aliases stand for: at most {TARGETS_MAX} are \
                 allowed",
                read.len()
            );
            self.checker.error(&field, message);
        }
        read
    }

    /// Adds what a target stands for, unless it is there already.
    fn add(&mut self, read: &mut Vec<String>, target: String, field: &FieldPath) {
        if target.trim().is_empty() {
            return;
        }
        let mut aliases = self.aliases.iter();
        let meant = if let Some((_, targets)) = aliases.find(|(name, _)| name == target.trim()) {
            targets.clone()
        } else {
            check_target(&target, self.providers, field, self.checker);
            vec![target]
        };
        for target in meant {
            if !read.contains(&target) {
                read.push(target);
            }
        }
    }
}

/// Reports a target that leads nowhere, or to more than one provider.
fn check_target(target: &str, providers: &Providers, field: &FieldPath, checker: &mut Checker<'_>) {
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
            if slash.is_some_and(|(provider, _)| providers.is_known(provider)) {
                return;
            }
            match providers.that_list(name).as_slice() {
                [_] => {}
                [] => {
                    let message = format!("{target:?} names no provider: expected provider,model");
                    checker.error(field, format!("{message}{}", known(providers)));
                }
                several => {
                    let several = several.join(", ");
                    let message = format!("{target:?} is a model of several providers: {several}");
                    checker.error(field, format!("{message}; expected provider,model"));
                }
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

#[cfg(test)]
mod tests {
    use super::super::{LoadError, Loaded, load};

    fn load_text(routes: &str) -> Result<Loaded, LoadError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        let text = format!(
            "{{Providers: [\n\
             {{name: 'anthropic', api_key: 'sk-ant-0123456789', models: ['both']}},\n\
             {{name: 'openai', api_key: 'sk-proj-0123456789', models: ['gpt-x', 'both']}},\n\
             ],\n{routes}}}"
        );
        std::fs::write(&path, text).unwrap();
        load(&path, &|_| None)
    }

    fn problems(routes: &str) -> Vec<String> {
        match load_text(routes) {
            Err(LoadError::Invalid { problems, .. }) => {
                problems.iter().map(ToString::to_string).collect()
            }
            other => panic!("errors were expected: {other:?}"),
        }
    }

    #[test]
    fn a_rule_is_one_target_or_several_and_what_fallback_says_follows_them() {
        let loaded = load_text(
            "Router: {default: 'anthropic,claude-x', background: ['gpt-x', ' fast '], think: 'fast',
                      longContext: [], webSearch: '', image: null, longContextThreshold: 1000},
             fallback: {default: ['openai,gpt-x', 'anthropic,claude-x'], think: ['openai/o-x']},
             Aliases: {fast: ['anthropic,claude-small', 'gpt-x']}",
        )
        .unwrap();
        let router = loaded.gateway.router;
        assert_eq!(router.default, ["anthropic,claude-x", "openai,gpt-x"]);
        assert_eq!(router.background, ["gpt-x", "anthropic,claude-small"]);
        let think = ["anthropic,claude-small", "gpt-x", "openai/o-x"];
        assert_eq!(router.think, think);
        for none in [router.long_context, router.web_search, router.image] {
            assert_eq!(none, Vec::<String>::new());
        }
        assert_eq!(router.long_context_threshold, 1000);
        assert_eq!(loaded.warnings.len(), 0);
        let without = load_text("Seed: 1").unwrap().gateway.router;
        assert_eq!(without.long_context_threshold, 60_000);
        assert!(without.default.is_empty());
    }

    #[test]
    fn a_target_that_leads_nowhere_is_an_error_with_its_place() {
        for (routes, expected) in [
            (
                "Router: {default: 'antropic,claude-x'}",
                "5:19: Router.default: there is no provider \"antropic\"; did you mean \"anthropic\"?; \
                 configured: anthropic, openai",
            ),
            (
                "Router: {think: ['openai,gpt-x',\n'gemini,x']}",
                "6:1: Router.think[1]: there is no provider \"gemini\"; configured: anthropic, openai",
            ),
            (
                "Router: {think: 'gpt-x'}, fallback: {think: ['gemini,x']}",
                "5:46: fallback.think[0]: there is no provider \"gemini\"; configured: anthropic, openai",
            ),
            (
                "Router: {image: 'slow'}, Aliases: {fast: ['gpt-x']}",
                "5:17: Router.image: \"slow\" names no provider: expected provider,model; configured: \
                 anthropic, openai",
            ),
            (
                "Router: {default: 'openai,'}",
                "5:19: Router.default: \"openai,\" names no model: expected provider,model",
            ),
            (
                "Router: {default: 'both'}",
                "5:19: Router.default: \"both\" is a model of several providers: anthropic, openai; expected \
                 provider,model",
            ),
        ] {
            assert_eq!(problems(routes), [expected], "{routes}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_what_would() {
        for (routes, expected) in [
            (
                "Router: {default: 5}",
                "expected a text or a list of at most 16 elements",
            ),
            (
                "Router: {default: [5]}",
                "Router.default[0]: 5 is not allowed: expected a text",
            ),
            (
                "Router: {longcontext: 'gpt-x'}",
                "did you mean \"longContext\"?",
            ),
            (
                "Router: {longContextThreshold: 0}",
                "expected a whole number from 1 to",
            ),
            (
                "fallback: {think: 'gpt-x'}",
                "expected a list of at most 16 elements",
            ),
            ("fallback: {thnik: []}", "did you mean \"think\"?"),
            ("Fallback: {think: []}", "did you mean \"fallback\"?"),
        ] {
            let problems = problems(routes);
            assert!(
                problems.len() == 1 && problems[0].contains(expected),
                "{problems:?}"
            );
        }
        let targets: Vec<String> = (0..12)
            .map(|number| format!("'openai,gpt-{number}'"))
            .collect();
        let list = targets.join(",");
        let many = format!(
            "Router: {{default: [{list}, 'fast']}}, Aliases: {{fast: [{}]}}",
            list.replace("gpt", "o")
        );
        let problems = problems(&many);
        assert!(
            problems[0].contains("Router.default: has 24 targets"),
            "{problems:?}"
        );
    }

    #[test]
    fn fallbacks_of_a_rule_that_is_not_set_are_worth_a_word() {
        let loaded = load_text("fallback: {think: ['gpt-x']}, Router: {default: 'gpt-x'}").unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            ["5:19: fallback.think: has no effect without Router.think"]
        );
        assert!(loaded.gateway.router.think.is_empty());
    }
}
