//! `keypool init`: the first configuration. It holds references to environment variables and never a key.

mod found;
mod plan;
mod questions;

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::args::InitArgs;
use super::{ENVIRONMENT, Failure, new_file, output};
use crate::config::{self, LoadError};
use keypool_wire::ProviderKind;
use plan::{Plan, ProviderPlan};
use questions::Questions;

/// The variable that is proposed for the key of the gateway's clients.
const CLIENT_KEY: &str = "KEYPOOL_API_KEY";

/// The port unless another is wanted.
const PORT: u16 = 3456;

/// Longest name of a variable that is taken for one.
const VARIABLE_BYTES: usize = 64;

/// Finds out what is wanted and writes it.
pub(super) fn init(args: &InitArgs) -> Result<(), Failure> {
    // Before any question is answered in vain.
    new_file::refuse_if_there(&args.output, args.force)?;
    let mut proposal = proposal(args)?;
    if !args.yes {
        let mut questions = Questions::new(std::io::stdin().lock());
        ask(&mut proposal, args, &mut questions)?;
    }
    if proposal.providers.is_empty() {
        let message = "there is no provider: no key of one is in the environment. Export one \
                       (ANTHROPIC_API_KEY, OPENAI_KEY_1), or name provider and variable: \
                       --provider anthropic --keys-from ANTHROPIC_KEY_1";
        return Err(Failure::Usage(message.to_owned()));
    }
    new_file::write(&proposal.output, &proposal.text(), args.force)?;
    report(&proposal)
}

/// What the arguments and the environment come to.
fn proposal(args: &InitArgs) -> Result<Plan, Failure> {
    let set = |variable: &&str| ENVIRONMENT(variable).is_some_and(|value| !value.trim().is_empty());
    let client_key = match &args.client_key_from {
        Some(variable) => Some(variable_name(variable).map_err(Failure::Usage)?),
        None => Some(CLIENT_KEY).filter(set).map(str::to_owned),
    };
    let mut providers = Vec::new();
    if args.provider.is_empty() {
        if !args.keys_from.is_empty() {
            let message = "--keys-from needs a --provider whose keys they are";
            return Err(Failure::Usage(message.to_owned()));
        }
        for found in found::all(ENVIRONMENT) {
            tell_of_repeated(&found);
            providers.push(ProviderPlan {
                name: found.provider.to_owned(),
                variables: found.variables,
            });
        }
    }
    for name in &args.provider {
        let name = provider_name(name).map_err(Failure::Usage)?;
        if providers
            .iter()
            .any(|known: &ProviderPlan| known.name == name)
        {
            return Err(Failure::Usage(format!("--provider {name} is given twice")));
        }
        let variables = variables_of(name, args)?;
        providers.push(ProviderPlan {
            name: name.to_owned(),
            variables,
        });
    }
    Ok(Plan {
        output: args.output.clone(),
        port: args.port.filter(|port| *port != PORT),
        client_key,
        providers,
    })
}

/// The variables with the keys of a provider that the arguments name.
fn variables_of(name: &'static str, args: &InitArgs) -> Result<Vec<String>, Failure> {
    let variables = match (args.keys_from.as_slice(), args.provider.len()) {
        ([], _) => {
            let found = found::of(name, ENVIRONMENT);
            tell_of_repeated(&found);
            found.variables
        }
        (variables, 1) => {
            let names = variables.iter().map(|variable| variable_name(variable));
            names.collect::<Result<_, _>>().map_err(Failure::Usage)?
        }
        (_, _) => {
            let message = "--keys-from needs one --provider; with several, keys are found by their usual names";
            return Err(Failure::Usage(message.to_owned()));
        }
    };
    if variables.is_empty() && !needs_no_key(name) {
        return Err(Failure::Usage(format!(
            "no key of {name} is in the environment: name the variables by --keys-from"
        )));
    }
    Ok(variables)
}

/// Lets a person change what is proposed.
fn ask<R: BufRead>(
    plan: &mut Plan,
    args: &InitArgs,
    questions: &mut Questions<R>,
) -> Result<(), Failure> {
    let mut kept = Vec::new();
    for provider in plan.providers.drain(..) {
        let variables = provider.variables.join(", ");
        let question = format!("Use {} with the keys in {variables}?", provider.name);
        if questions.yes(&question)? {
            kept.push(provider);
        }
    }
    plan.providers = kept;
    loop {
        let which = if plan.providers.is_empty() {
            "Which"
        } else {
            "Another"
        };
        let known = found::providers().collect::<Vec<_>>().join(", ");
        let question = format!("{which} provider? ({known})");
        let name = questions.ask_until(&question, "", |answer| match answer {
            "" if plan.providers.is_empty() => Err("one is needed".to_owned()),
            "" | "none" => Ok(None),
            name if plan.providers.iter().any(|known| known.name == name) => {
                Err(format!("{name} is there already"))
            }
            name => provider_name(name).map(Some),
        })?;
        let Some(name) = name else { break };
        if needs_no_key(name) {
            plan.providers.push(ProviderPlan {
                name: name.to_owned(),
                variables: Vec::new(),
            });
            continue;
        }
        let found = found::of(name, ENVIRONMENT).variables;
        let usual = format!("{}_API_KEY", name.to_uppercase());
        let proposed = if found.is_empty() {
            usual
        } else {
            found.join(", ")
        };
        let question = format!("Which variables hold keys of {name}? (their names, not the keys)");
        let variables = questions.ask_until(&question, &proposed, variable_names)?;
        plan.providers.push(ProviderPlan {
            name: name.to_owned(),
            variables,
        });
    }
    if args.client_key_from.is_none() {
        let question = "Which variable holds the key that clients of the gateway must present? \
                        (without one only this machine is served)";
        let proposed = plan.client_key.clone().unwrap_or_default();
        plan.client_key = questions.ask_until(question, &proposed, |answer| match answer {
            "" | "none" => Ok(None),
            name => variable_name(name).map(Some),
        })?;
    }
    if args.port.is_none() {
        let port = questions.ask_until("Which port?", &PORT.to_string(), |answer| {
            let port = answer.parse::<u16>();
            port.map_err(|_| "a number from 0 to 65535 is needed; 0 takes a free one".to_owned())
        })?;
        plan.port = (port != PORT).then_some(port);
    }
    if args.output == Path::new("config.json") {
        plan.output = ask_where(args, questions)?;
    }
    Ok(())
}

/// In the working directory, or where it is found from everywhere.
fn ask_where<R: BufRead>(
    args: &InitArgs,
    questions: &mut Questions<R>,
) -> Result<PathBuf, Failure> {
    let Some(home) = ENVIRONMENT("HOME").filter(|home| !home.is_empty()) else {
        return Ok(args.output.clone());
    };
    let in_home = Path::new(&home).join(".config/keypool/config.json");
    let question = "Write it to config.json here, which counts in this directory, or home, to \
                    ~/.config/keypool/config.json, which counts everywhere? (here, home)";
    questions.ask_until(question, "here", |answer| {
        let path = match answer {
            "here" => args.output.clone(),
            "home" => in_home.clone(),
            _ => return Err("here or home?".to_owned()),
        };
        let free = new_file::refuse_if_there(&path, args.force);
        free.map_err(|refused| refused.to_string()).map(|()| path)
    })
}

fn tell_of_repeated(found: &found::Found) {
    for variable in &found.repeated {
        output::complain(&format!(
            "{variable} holds a key of {} that another variable holds, too: left out",
            found.provider
        ));
    }
}

fn report(plan: &Plan) -> Result<(), Failure> {
    let path = plan.output.display();
    output::say(&format!("{path} is written: {}", plan.summary()));
    let unset: Vec<_> = plan
        .variables()
        .filter(|name| ENVIRONMENT(name).is_none_or(|value| value.trim().is_empty()))
        .collect();
    match config::load(&plan.output, ENVIRONMENT) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                output::complain(&format!("{path}:{warning}"));
            }
        }
        Err(LoadError::Invalid { .. }) if !unset.is_empty() => {
            output::say(&format!("set before you start: {}", unset.join(", ")));
        }
        Err(error) => return Err(error.into()),
    }
    let config = match config::locate(None, ENVIRONMENT) {
        Ok(found) if same_file(&found, &plan.output) => String::new(),
        Ok(_) | Err(_) => format!(" --config {path}"),
    };
    output::say(&format!(
        "next: keypool serve{config}, and then clients: eval \"$(keypool env{config})\"; or Claude Code \
         with all of it: keypool code{config}"
    ));
    Ok(())
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        (_, _) => false,
    }
}

/// Whether it is a server on this machine, which asks for no key.
fn needs_no_key(name: &str) -> bool {
    ProviderKind::from_name(name).is_some_and(ProviderKind::is_open)
}

/// A provider whose address need not be said.
fn provider_name(answer: &str) -> Result<&'static str, String> {
    let known = found::providers().find(|name| name.eq_ignore_ascii_case(answer));
    // The answer is not repeated: it may be a key.
    known.ok_or_else(|| {
        let known = found::providers().collect::<Vec<_>>().join(", ");
        format!(
            "that is none of the providers whose address is known ({known}); any other can be written into the file: docs/configuration.md"
        )
    })
}

fn variable_names(answer: &str) -> Result<Vec<String>, String> {
    let names = answer.split([',', ' ']).filter(|name| !name.is_empty());
    let names = names.map(variable_name).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Err("one is needed".to_owned());
    }
    Ok(names)
}

/// The name of a variable. What may be a key instead is refused, and not repeated: it would be written to the file.
pub(super) fn variable_name(text: &str) -> Result<String, String> {
    let name = text.trim().trim_start_matches('$');
    let fits = name.len() <= VARIABLE_BYTES
        && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if fits && (name.contains('_') || ENVIRONMENT(name).is_some()) {
        Ok(name.to_owned())
    } else {
        Err("that is no name of a variable: capitals, digits and _ are expected, as in ANTHROPIC_KEY_1. A key itself belongs into such a variable".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_place_of_a_name_is_refused_and_not_repeated() {
        for key in [
            "sk-ant-api03-abc",
            "AIzaSyD4x_abc",
            "AKIAIOSFODNN7EXAMPLE",
            "gsk_abcDEF",
            "",
        ] {
            let refusal = variable_name(key).unwrap_err();
            assert!(key.is_empty() || !refusal.contains(key), "{refusal}");
        }
        assert_eq!(
            variable_name("$OPENAI_KEY_1").as_deref(),
            Ok("OPENAI_KEY_1")
        );
        assert_eq!(
            variable_names("A_1, A_2 A_3").unwrap(),
            ["A_1", "A_2", "A_3"]
        );
    }
}
