//! `keypool env`.

use crate::support::User;

/// What no shell may read anything into.
const ODD_KEY: &str = r#"it's a "key" \ $HOME `id`; # *"#;

/// Evaluates the output of `keypool env` in a real shell and gives back variables afterwards, `-` for an unset one.
fn evaluated(user: &User, how: &str, names: &[&str]) -> Vec<String> {
    let shown = names.iter().map(|name| format!("\"${{{name}--}}\""));
    let shown = shown.collect::<Vec<_>>().join(" ");
    let mut shell = user.command("/bin/sh");
    shell
        .arg("-c")
        .arg(format!("{how}\nprintf '%s\\n' {shown}"));
    shell.env("KEYPOOL", env!("CARGO_BIN_EXE_keypool"));
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_shell_that_evaluates_it_has_the_variables_whatever_is_in_the_key() {
    let user = User::new().with(&[
        ("TEAM_KEY", ODD_KEY),
        ("ANTHROPIC_API_KEY", "sk-ant-1"),
        ("SHELL", "/bin/dash"),
    ]);
    user.write("config.json", "{PORT: 4123, APIKEY: '$TEAM_KEY'}");
    let names = [
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_API_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_API_KEY",
        "GOOGLE_GEMINI_BASE_URL",
        "GEMINI_API_KEY",
    ];
    let values = evaluated(&user, "eval \"$($KEYPOOL env)\"", &names);
    let url = "http://127.0.0.1:4123";
    let with_version = "http://127.0.0.1:4123/v1";
    assert_eq!(
        values,
        [url, ODD_KEY, "-", with_version, ODD_KEY, url, ODD_KEY]
    );
}

#[test]
fn it_may_be_evaluated_without_quotes_too() {
    let user = User::new().with(&[("OPENAI_ORG_ID", "org-1")]);
    user.write("config.json", "{HOST: '::', APIKEY: 'own-key'}");
    let names = ["ANTHROPIC_AUTH_TOKEN", "OPENAI_BASE_URL", "OPENAI_ORG_ID"];
    let values = evaluated(&user, "eval $($KEYPOOL env)", &names);
    assert_eq!(values, ["own-key", "http://[::1]:3456/v1", "-"]);
}

#[test]
fn a_gateway_without_a_key_takes_a_word_that_sdks_accept() {
    let user = User::new();
    user.write("config.json", "{}");
    let values = evaluated(
        &user,
        "eval \"$($KEYPOOL env)\"",
        &["ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"],
    );
    assert_eq!(values, ["keypool", "keypool"]);
}

#[test]
fn an_agents_own_variables_are_printed_when_it_is_named() {
    let user = User::new();
    user.write("config.json", "{}");
    let lines = |agent: &str| user.run(&["env", "--shell", "sh", "--agent", agent]).stdout;
    assert!(!lines("claude").contains("OPENAI"));
    let qwen = lines("qwen");
    assert!(
        qwen.contains("OPENAI_BASE_URL=") && !qwen.contains("ANTHROPIC"),
        "{qwen}"
    );
    let opencode = lines("opencode");
    assert!(opencode.contains(r#"OPENCODE_CONFIG_CONTENT='{"provider":{"anthropic":{"options":{"apiKey":"{env:ANTHROPIC_API_KEY}""#), "{opencode}");
    assert!(
        opencode.contains(r#""google":{"options":{"apiKey":"{env:GEMINI_API_KEY}","baseURL":"http://127.0.0.1:3456/v1beta"}}"#)
            && opencode.contains("GEMINI_API_KEY="),
        "{opencode}"
    );
    let aider = lines("aider");
    assert!(
        aider.contains("ANTHROPIC_API_BASE='http://127.0.0.1:3456';")
            && aider.contains("GEMINI_API_BASE='http://127.0.0.1:3456/v1beta';")
            && aider.contains("GEMINI_API_KEY="),
        "{aider}"
    );
}

#[test]
fn the_shell_is_the_users_or_the_one_that_is_named() {
    let user = User::new().with(&[("SHELL", "/usr/bin/fish")]);
    user.write("config.json", "{}");
    let url = "'http://127.0.0.1:3456';";
    assert!(
        user.run(&["env"])
            .stdout
            .contains(&format!("set -gx ANTHROPIC_BASE_URL {url}"))
    );
    let powershell = user.run(&["env", "--shell", "powershell"]).stdout;
    assert!(
        powershell.contains(&format!("$env:ANTHROPIC_BASE_URL = {url}")),
        "{powershell}"
    );
}

#[test]
fn a_key_that_cannot_be_had_is_an_error_and_not_an_empty_variable() {
    let user = User::new();
    user.write("config.json", "{APIKEY: '$TEAM_KEY'}");
    let ended = user.run(&["env"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(
        ended
            .stderr
            .contains("config.json:1:10: APIKEY: the environment variable TEAM_KEY is not set"),
        "{ended:?}"
    );
    // Who has another needs it not.
    let user = user.with(&[("MINE", "my-own-key")]);
    let ended = user.run(&["env", "--key-env", "MINE"]);
    assert!(
        ended.stdout.contains("ANTHROPIC_AUTH_TOKEN='my-own-key';"),
        "{ended:?}"
    );
}

#[test]
fn tenants_name_the_variable_with_their_key() {
    let user = User::new().with(&[("TEAM_A", "key-of-team-a")]);
    user.write("config.json", "{Tenants: [{name: 'a', key: '$TEAM_A'}]}");
    let ended = user.run(&["env"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("--key-env"), "{ended:?}");
    assert!(
        user.run(&["env", "--key-env", "TEAM_A"])
            .stdout
            .contains("'key-of-team-a'")
    );
    let ended = user.run(&["env", "--key-env", "TEAM_B"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("TEAM_B is not set"), "{ended:?}");
    let ended = user.run(&["env", "--key-env", "sk-ant-pasted-51d07c"]);
    assert_eq!(ended.code, Some(2));
    assert!(!ended.stderr.contains("51d07c"), "{ended:?}");
}

#[test]
fn a_gateway_elsewhere_is_named_by_its_url() {
    let user = User::new().with(&[("MINE", "my-own-key")]);
    let ended = user.run(&[
        "env",
        "--url",
        "https://llm.example.com/",
        "--key-env",
        "MINE",
    ]);
    assert!(
        ended
            .stdout
            .contains("OPENAI_BASE_URL='https://llm.example.com/v1';"),
        "{ended:?}"
    );
    let ended = user.run(&["env", "--url", "llm.example.com"]);
    assert_eq!(ended.code, Some(2));
    user.write("config.json", "{PORT: 0}");
    let ended = user.run(&["env"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("PORT is 0"), "{ended:?}");
}

#[test]
fn it_warns_of_variables_that_the_configuration_takes_keys_from() {
    let user = User::new().with(&[("OPENAI_API_KEY", "sk-canary-51d07c")]);
    user.write(
        "config.json",
        "{Providers: [{name: 'openai', api_key: '$OPENAI_API_KEY'}]}",
    );
    let ended = user.run(&["env"]);
    assert!(
        ended
            .stderr
            .contains("the configuration reads $OPENAI_API_KEY"),
        "{ended:?}"
    );
}

#[test]
fn without_a_configuration_it_says_how_to_come_by_one() {
    let ended = User::new().run(&["env"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("`keypool init` writes one"),
        "{ended:?}"
    );
}
