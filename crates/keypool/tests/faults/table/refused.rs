//! Keys that the provider refuses, or refuses for one model.

use keypool_sim::Fault;
use serde_json::json;

use crate::meets::{Meets, anthropic, anthropic_code, fault, openai, openrouter, sound, verbatim};
use crate::row::Client::{Ours, Theirs};
use crate::row::Leaves::{Barred, Out, Scored, Sound};
use crate::row::{
    AZURE, Asked, CHAT, CHAT_STREAM, EMBEDDINGS, GROQ, Group, MESSAGES, MESSAGES_STREAM,
    OPENROUTER, RESPONSES, Row, XAI, chat_of,
};

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Refused, trouble, asked)
}

fn revoked() -> Meets {
    fault("401, everywhere", Fault::Unauthorized)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for asked in [
        MESSAGES,
        MESSAGES_STREAM,
        CHAT,
        CHAT_STREAM,
        RESPONSES,
        EMBEDDINGS,
        chat_of(GROQ),
    ] {
        rows.push(row("The key was revoked", asked).cured(revoked(), Out("invalid_key")));
    }
    for asked in [MESSAGES, CHAT, RESPONSES] {
        rows.push(
            row("Every key was revoked", asked)
                .keys([
                    (revoked(), Out("invalid_key")),
                    (revoked(), Out("invalid_key")),
                ])
                .gets(Ours(503, "all_keys_unavailable"))
                .do_not_retry()
                .attempts(2),
        );
    }
    rows.push(
        row("The only key was revoked", CHAT)
            .keys([(revoked(), Out("invalid_key"))])
            .gets(Ours(503, "all_keys_unavailable"))
            .do_not_retry(),
    );
    rows.extend(for_reasons_of_their_own());
    rows.extend(for_one_model());
    rows.extend(for_the_place_or_the_way());
    rows
}

/// Keys that are dead, or not, in other words than a plain 401.
fn for_reasons_of_their_own() -> Vec<Row> {
    let cors = "CORS requests are not allowed for this Organization because of its settings.";
    let disabled = "This organization has been disabled.";
    let hold = "Your organization's API access is on hold.";
    let cmek = "The workspace's encryption key is disabled.";
    let address =
        "Your request was made from an IP not authorized for this project: ip_not_authorized.";
    let dead = [
        (
            MESSAGES,
            "The organisation was disabled",
            anthropic(403, "permission_error", disabled)
                .quoting(disabled)
                .everywhere(),
            "organization_disabled",
        ),
        (
            MESSAGES,
            "The organisation was disabled",
            anthropic(400, "invalid_request_error", disabled)
                .quoting(disabled)
                .everywhere(),
            "organization_disabled",
        ),
        (
            MESSAGES,
            "The organisation is on hold",
            anthropic_code(400, "invalid_request_error", "organization_on_hold", hold).everywhere(),
            "organization_on_hold",
        ),
        (
            MESSAGES,
            "The workspace's encryption key was disabled",
            anthropic_code(400, "invalid_request_error", "cmek_key_disabled", cmek).everywhere(),
            "key_misconfigured",
        ),
        (
            CHAT,
            "The key may not be used from this address",
            openai(
                401,
                "invalid_request_error",
                Some("ip_not_authorized"),
                address,
            )
            .everywhere(),
            "ip_not_allowed",
        ),
        (
            chat_of(XAI),
            "The key is wrong, and the status says the request were",
            openai(
                400,
                "Client specified an invalid argument",
                None,
                "Incorrect API key provided.",
            )
            .quoting("Incorrect API key provided.")
            .everywhere(),
            "invalid_key",
        ),
    ];
    let mut rows: Vec<Row> = dead
        .into_iter()
        .map(|(asked, trouble, meets, code)| row(trouble, asked).cured(meets, Out(code)))
        .collect();
    let hold = || anthropic_code(400, "invalid_request_error", "organization_on_hold", hold);
    rows.push(
        row("The organisation of two keys is on hold", MESSAGES)
            .set_of_provider(
                "the first two keys in one quota group",
                "/quotaGroups",
                json!({ "org": {} }),
            )
            .set_of_provider("", "/keys/0/quotaGroup", "org")
            .set_of_provider("", "/keys/1/quotaGroup", "org")
            .keys([
                (hold().everywhere(), Out("organization_on_hold")),
                (hold().everywhere(), Out("organization_on_hold")),
                (sound(), Sound),
            ])
            .attempts(2),
    );
    rows.push(
        row("A 401 that is about CORS, not about the key", MESSAGES).cured(
            anthropic(401, "authentication_error", cors).quoting("CORS requests are not allowed"),
            Sound,
        ),
    );
    rows.push(
        row("The key's own spend limit is reached", chat_of(OPENROUTER)).cured(
            openrouter(
                403,
                "openrouter_key_limit",
                "Key limit exceeded (total limit).",
                &json!({ "limit_source": "openrouter_key_limit" }),
            ),
            Out("key_spend_limit"),
        ),
    );
    rows
}

/// Keys that may not use a model.
fn for_one_model() -> Vec<Row> {
    let permission = "Your API key does not have permission to use the specified resource.";
    let no_access = "Project `proj_1` does not have access to model `gpt-4o-mini`.";
    let no_model = "The model `gpt-4o-mini` does not exist or you do not have access to it.";
    let unknown = "model: claude-3-5-sonnet-20241022";
    let deployment = "The API deployment for this resource does not exist.";
    let not_found = || {
        openai(
            404,
            "invalid_request_error",
            Some("model_not_found"),
            no_model,
        )
    };
    let mut rows = Vec::new();
    for (asked, trouble, meets) in [
        (
            MESSAGES,
            "The key may not use the model",
            anthropic(403, "permission_error", permission),
        ),
        (
            CHAT,
            "The key may not use the model",
            openai(
                403,
                "invalid_request_error",
                Some("model_not_found"),
                no_access,
            ),
        ),
        (
            MESSAGES,
            "The key's account does not know the model",
            anthropic(404, "not_found_error", unknown),
        ),
        (
            CHAT,
            "The key's account does not know the model",
            not_found(),
        ),
        (
            RESPONSES,
            "The key's account does not know the model",
            not_found(),
        ),
        (
            chat_of(AZURE),
            "The key's account does not know the model",
            openai(
                404,
                "invalid_request_error",
                Some("DeploymentNotFound"),
                deployment,
            ),
        ),
    ] {
        rows.push(row(trouble, asked).cured(meets, Barred));
    }
    for (asked, meets, word) in [
        (
            MESSAGES,
            anthropic(404, "not_found_error", unknown),
            "not_found_error",
        ),
        (CHAT, not_found(), "model_not_found"),
        (RESPONSES, not_found(), "model_not_found"),
    ] {
        rows.push(
            row("No key's account knows the model", asked)
                .keys([(meets.clone(), Sound), (meets, Sound)])
                .gets(Theirs(404, word))
                .do_not_retry()
                .attempts(2),
        );
    }
    rows
}

/// Refusals that say nothing of the key.
fn for_the_place_or_the_way() -> Vec<Row> {
    let country = "Country, region, or territory not supported";
    let tier = "The service_tier argument is not allowed for this project.";
    let mut rows = Vec::new();
    rows.push(
        row("The provider does not serve this country", CHAT)
            .keys([
                (
                    openai(
                        403,
                        "request_forbidden",
                        Some("unsupported_country_region_territory"),
                        country,
                    ),
                    Sound,
                ),
                (sound(), Sound),
            ])
            .gets(Theirs(403, "unsupported_country_region_territory"))
            .do_not_retry(),
    );
    rows.push(
        row("The service tier is not open to the key's project", CHAT).cured(
            openai(400, "invalid_request_error", None, tier).quoting("service_tier"),
            Sound,
        ),
    );
    for asked in [MESSAGES, CHAT] {
        rows.push(
            row("A proxy before the provider forbids the request", asked).cured(
                verbatim(
                    "403 and a page of HTML",
                    403,
                    "text/html",
                    "<html><head><title>403 Forbidden</title></head></html>",
                ),
                Scored(95),
            ),
        );
    }
    rows
}
