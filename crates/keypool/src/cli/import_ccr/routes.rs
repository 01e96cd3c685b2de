//! `Router` and `fallback`: which target serves which kind of request.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::notes::Notes;
use super::providers::Taken;
use crate::config;

/// Takes `Router` over, as far as keypool knows its fields.
pub(super) fn router(
    old: &Map<String, Value>,
    taken: &Taken,
    notes: &mut Notes,
) -> Map<String, Value> {
    let known = fields_of("Router");
    let mut new = Map::new();
    for (name, value) in old {
        let field = format!("Router.{name}");
        match value {
            _ if !known.contains(name) => notes.lost(field, "keypool has no such route"),
            Value::String(target) if target.trim().is_empty() => {}
            Value::String(target) => match renamed(target, taken) {
                Ok(target) => {
                    new.insert(name.clone(), target.into());
                }
                Err(why) => notes.lost(field, why),
            },
            Value::Number(_) => {
                new.insert(name.clone(), value.clone());
            }
            _ => notes.lost(field, "it is no provider,model"),
        }
    }
    new
}

/// Takes `fallback` over: further targets for the kinds of request for which `router` has one.
pub(super) fn fallback(
    old: &Map<String, Value>,
    router: &Map<String, Value>,
    taken: &Taken,
    notes: &mut Notes,
) -> Map<String, Value> {
    let mut new = Map::new();
    for (name, targets) in old {
        let targets = targets.as_array().map_or(&[][..], Vec::as_slice);
        if !targets.is_empty() && !router.contains_key(name) {
            notes.lost(
                format!("fallback.{name}"),
                format!("there is no Router.{name}"),
            );
            continue;
        }
        let mut kept = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            let renamed = target
                .as_str()
                .ok_or_else(|| "it is no provider,model".to_owned())
                .and_then(|target| renamed(target, taken));
            match renamed {
                Ok(target) => kept.push(Value::from(target)),
                Err(why) => notes.lost(format!("fallback.{name}[{index}]"), why),
            }
        }
        if !kept.is_empty() {
            new.insert(name.clone(), kept.into());
        }
    }
    new
}

/// Whether the configuration has this section.
pub(super) fn is_section(name: &str) -> bool {
    config::schema()
        .pointer(&format!("/properties/{name}"))
        .is_some()
}

/// The fields of a section of the configuration, from its schema.
fn fields_of(section: &str) -> Vec<String> {
    let schema = config::schema();
    let section = schema.pointer(&format!("/properties/{section}"));
    let defined = section
        .and_then(|section| section.get("$ref"))
        .and_then(Value::as_str)
        .and_then(|reference| schema.pointer(reference.trim_start_matches('#')));
    let fields = defined
        .or(section)
        .and_then(|section| section.get("properties"));
    let fields = fields.and_then(Value::as_object);
    fields
        .map(|fields| fields.keys().cloned().collect())
        .unwrap_or_default()
}

/// A target, `provider,model`, with the name that the provider has now.
fn renamed(target: &str, taken: &Taken) -> Result<String, String> {
    let Some((provider, model)) = target.split_once(',') else {
        return Err("it is no provider,model".to_owned());
    };
    let names: &BTreeMap<String, String> = &taken.names;
    match names.get(provider.trim()) {
        Some(name) => Ok(format!("{name},{}", model.trim())),
        None => Err(format!(
            "the provider {:?} is not taken over",
            provider.trim()
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fallbacks_stay_where_their_route_and_their_provider_do() {
        let taken = Taken {
            providers: Vec::new(),
            names: BTreeMap::from([("my mirror".to_owned(), "my-mirror".to_owned())]),
        };
        let old = json!({
            "default": ["my mirror,a", "gone,b", 3],
            "think": ["my mirror,c"],
            "image": [],
        });
        let router = json!({ "default": "my-mirror,x" });
        let mut notes = Notes::default();
        let object = |value: &Value| value.as_object().unwrap().clone();
        let new = fallback(&object(&old), &object(&router), &taken, &mut notes);
        assert_eq!(Value::Object(new), json!({ "default": ["my-mirror,a"] }));
        let lost = notes.of_what_is_lost();
        for line in [
            "fallback.default[1]: the provider \"gone\" is not taken over",
            "fallback.default[2]: it is no provider,model",
            "fallback.think: there is no Router.think",
        ] {
            assert!(lost.contains(line), "{lost}");
        }
    }
}
