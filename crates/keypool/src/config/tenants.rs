//! The tenants: who they are, and that no key opens two doors. Two tenants with one key would be one, and
//! a tenant with the admin token could add and remove keys.

use keypool_gateway::Secret;
use keypool_gateway::config::{DEFAULT_TENANT, TenantConfig};

use super::addresses::Access;
use super::checker::Checker;
use super::file::TenantFile;
use super::path::{FieldPath, shown_name};

/// Longest name of a tenant: it stands in metrics and logs.
const NAME_CHARS: usize = 64;

/// Reads `Tenants`.
pub(super) fn tenants(
    files: &[Option<TenantFile>],
    access: &Access,
    checker: &mut Checker<'_>,
) -> Vec<TenantConfig> {
    let section = FieldPath::of(&["Tenants"]);
    let mut tenants: Vec<TenantConfig> = Vec::with_capacity(files.len());
    let mut names: Vec<&str> = Vec::with_capacity(files.len());
    // Keys by what people find them under.
    let mut keys: Vec<(String, Secret)> = Vec::with_capacity(files.len() + 2);
    keys.extend(
        access
            .client_key
            .clone()
            .map(|key| ("APIKEY".to_owned(), key)),
    );
    let token = access.admin.token.clone();
    keys.extend(token.map(|token| ("Admin.token".to_owned(), token)));
    for (index, file) in files.iter().enumerate() {
        let Some(file) = file else { continue };
        let field = section.index(index);
        check_name(&file.name, &names, &field.field("name"), checker);
        names.push(&file.name);
        let key_field = field.field("key");
        let Some(key) = checker.secret(&file.key, &key_field) else {
            continue;
        };
        let same = keys.iter().find(|(_, other)| other.matches(key.expose()));
        if let Some((place, _)) = same {
            let message = format!(
                "{} is the same as {place}; each needs a key of its own",
                key.mask()
            );
            checker.error(&key_field, message);
            continue;
        }
        keys.push((key_field.to_string(), key.clone()));
        tenants.push(TenantConfig {
            name: file.name.clone(),
            key,
            weight: file.weight.unwrap_or(1),
            urgency: file.priority.unwrap_or_default().into(),
        });
    }
    tenants
}

fn check_name(name: &str, others: &[&str], field: &FieldPath, checker: &mut Checker<'_>) {
    let is_name = name.chars().count() <= NAME_CHARS
        && !name.trim().is_empty()
        && !name.contains(char::is_control);
    if !is_name {
        let message =
            format!("is no name: expected 1 to {NAME_CHARS} characters that can be printed");
        checker.error(field, message);
    } else if name == DEFAULT_TENANT {
        let message = format!(
            "{DEFAULT_TENANT:?} is the tenant of whoever presents APIKEY; choose another name"
        );
        checker.error(field, message);
    } else if others.contains(&name) {
        checker.error(
            field,
            format!("there are two tenants named {:?}", shown_name(name)),
        );
    }
}
