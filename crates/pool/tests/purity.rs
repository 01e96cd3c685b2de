//! The pure crates stay pure: no async runtime, no HTTP library, no clock among what they list.

use std::path::Path;

/// Crates that bring tasks, sockets or a clock; and, of those listed, features that would.
const FORBIDDEN: [&str; 24] = [
    "async-std",
    "axum",
    "chrono",
    "futures",
    "h2",
    "http",
    "http-body",
    "http-body-util",
    "hyper",
    "hyper-util",
    "mio",
    "notify",
    "parking_lot",
    "quanta",
    "rand",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "time",
    "tokio",
    "tower",
    "tracing",
    "ureq",
];

/// Names under `[dependencies]` and its per-target forms; development dependencies are free.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut listing = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            listing = table == "dependencies"
                || (table.starts_with("target.") && table.ends_with(".dependencies"));
            if let Some(name) = table.strip_prefix("dependencies.") {
                names.push(name.to_owned());
            }
        } else if listing && !line.starts_with('#') && !line.is_empty() {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            names.push(name.trim_matches('"').to_owned());
        }
    }
    names
}

fn impurities(manifest: &str) -> Vec<String> {
    let listed = dependencies(manifest);
    listed
        .into_iter()
        .filter(|name| FORBIDDEN.contains(&name.as_str()))
        .collect()
}

fn manifest_of(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(name)
        .join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn pool_wire_and_translate_list_no_runtime_no_http_and_no_clock() {
    for name in ["pool", "wire", "translate"] {
        let manifest = manifest_of(name);
        assert!(
            !dependencies(&manifest).is_empty(),
            "{name}: its manifest was not understood"
        );
        assert_eq!(impurities(&manifest), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn an_impure_manifest_is_found_out_in_every_spelling() {
    for manifest in [
        "[dependencies]\ntokio.workspace = true",
        "[dependencies]\nserde = \"1\"\n\n# sockets\nhyper = { version = \"1\" }",
        "[dependencies.tokio]\nversion = \"1\"",
        "[target.'cfg(unix)'.dependencies]\nmio = \"1\"",
    ] {
        assert_eq!(impurities(manifest).len(), 1, "{manifest}");
    }
    assert!(
        impurities("[dev-dependencies]\ntokio = \"1\"\n[dependencies]\nserde = \"1\"").is_empty()
    );
}
