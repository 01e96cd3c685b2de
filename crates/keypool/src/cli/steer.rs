//! `keypool strategy` and `keypool rotate`.

use serde_json::{Value, json};

use super::Failure;
use super::args::{RotateArgs, StrategyArgs};
use super::remote::{Remote, text};

/// Shows or changes how keys are chosen.
pub(super) fn strategy(args: &StrategyArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let path = "/api/apikeys/strategy";
    let Some(strategy) = &args.strategy else {
        let answer = remote.get(path)?;
        remote.print(&answer, |answer| format!("{answer:#}\n"));
        return Ok(());
    };
    let mut body = json!({ "strategy": strategy });
    if let (Some(provider), Some(body)) = (&args.provider, body.as_object_mut()) {
        body.insert("provider".to_owned(), provider.as_str().into());
    }
    let answer = remote.post(path, &body)?;
    let whose = args.provider.as_deref().unwrap_or("every provider");
    remote.print(&answer, |_| format!("{whose}: {strategy}\n"));
    Ok(())
}

/// Makes the next request go to another key.
pub(super) fn rotate(args: &RotateArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let answer = remote.post("/api/apikeys/rotate", &json!({ "provider": args.provider }))?;
    remote.print(&answer, |answer: &Value| {
        format!(
            "the next request to {} goes to {}\n",
            args.provider,
            text(answer, "key")
        )
    });
    Ok(())
}
