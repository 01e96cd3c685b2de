//! `keypool strategy` and `keypool rotate`.

use serde_json::{Value, json};

use super::Failure;
use super::args::{RotateArgs, StrategyArgs};
use super::output::Table;
use super::remote::{Remote, text};

/// Shows or changes how keys are chosen.
pub(super) fn strategy(args: &StrategyArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let path = "/api/apikeys/strategy";
    let Some(strategy) = &args.strategy else {
        let answer = remote.get(path)?;
        remote.print(&answer, render);
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

fn render(answer: &Value) -> String {
    let mut table = Table::new(&["PROVIDER", "STRATEGY"]);
    for (provider, strategy) in answer
        .get("current")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        table.row(vec![
            provider.clone(),
            strategy.as_str().unwrap_or("-").to_owned(),
        ]);
    }
    let available = answer.get("available").and_then(Value::as_array);
    let available: Vec<_> = available
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    format!("{}\navailable: {}\n", table.render(), available.join(", "))
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
