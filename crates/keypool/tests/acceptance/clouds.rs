//! Providers that are reached in ways of their own: what arrives there, word by word, and what comes of what
//! they answer.

mod azure;
mod bedrock;
mod local;
mod vertex;

use serde_json::{Value, json};

use crate::support::{Setup, World};

/// A gateway before providers that are configured like this, in the order in which keys are listed.
async fn world(providers: Value) -> World {
    setup(&providers).start().await
}

fn setup(providers: &Value) -> Setup {
    let pool = json!({ "enabled": true, "strategy": "fill-first", "providers": providers });
    let config = json!({ "ApiKeyPool": pool });
    Setup::empty().with_config(config)
}
