//! Every fixture in every other API, as it was once read and found right.
//!
//! The fixtures are written by hand after the public documents of each API; together they hold each
//! row of the translation checklist. A snapshot shows what is sent, and what is said to be lost.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod util;

use std::fmt::Write as _;

use keypool_translate::{Api, ClientRequest, Failure, translate_answer};
use util::{fixtures, folder, pretty, settings, target, translate};

/// Compares with the snapshot of a fixture.
fn check(kind: &str, api: Api, name: &str, text: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(format!("{kind}__{}__{name}", folder(api)), text);
    });
}

/// The other APIs, in order.
fn others(api: Api) -> impl Iterator<Item = Api> {
    Api::ALL.into_iter().filter(move |other| *other != api)
}

#[test]
fn requests_are_written_in_every_other_api() {
    for fixture in fixtures("requests") {
        let mut text = String::new();
        let request = ClientRequest::read(fixture.api, &fixture.bytes).unwrap();
        for api in others(fixture.api) {
            writeln!(text, "== {}", api.name()).unwrap();
            match request.write(&target(api)) {
                Ok(translated) => {
                    let lost = translated.losses.to_string();
                    let lost = if lost.is_empty() { "nothing" } else { &lost };
                    writeln!(text, "{}\n-- lost: {lost}", pretty(&translated.body))
                }
                Err(refusal) => writeln!(text, "refused: {refusal}"),
            }
            .unwrap();
        }
        check("requests", fixture.api, &fixture.name, &text);
    }
}

#[test]
fn answers_are_written_in_every_other_api() {
    for fixture in fixtures("answers") {
        let mut text = String::new();
        for api in others(fixture.api) {
            writeln!(text, "== {}", api.name()).unwrap();
            match translate_answer(&settings(fixture.api, api), &fixture.bytes) {
                Ok(answer) => writeln!(text, "{}", pretty(&answer)),
                Err(failure) => {
                    writeln!(
                        text,
                        "status {}\n{}",
                        failure.status,
                        pretty(&failure.body(api))
                    )
                }
            }
            .unwrap();
        }
        check("answers", fixture.api, &fixture.name, &text);
    }
}

#[test]
fn streams_are_written_in_every_other_api() {
    for fixture in fixtures("streams") {
        let mut text = String::new();
        for api in others(fixture.api) {
            let events = util::events(&fixture.bytes);
            let (_, stream) = translate(&settings(fixture.api, api), &events);
            writeln!(text, "== {}\n{stream}", api.name()).unwrap();
        }
        check("streams", fixture.api, &fixture.name, &text);
    }
}

#[test]
fn errors_are_written_in_every_other_api() {
    for fixture in fixtures("errors") {
        let mut text = String::new();
        // The status is the end of the name.
        let (_, status) = fixture.name.rsplit_once('_').unwrap();
        let failure = Failure::read(Some(status.parse().unwrap()), &fixture.bytes);
        for api in others(fixture.api) {
            let body = pretty(&failure.body(api));
            writeln!(text, "== {}\nstatus {}\n{body}", api.name(), failure.status).unwrap();
        }
        check("errors", fixture.api, &fixture.name, &text);
    }
}
