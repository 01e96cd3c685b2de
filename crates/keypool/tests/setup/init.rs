//! `keypool init`.

use crate::support::{CANARY, User};

const KEYS: [(&str, &str); 4] = [
    ("ANTHROPIC_API_KEY", "sk-ant-canary-51d07c-1"),
    ("ANTHROPIC_KEY_1", "sk-ant-canary-51d07c-2"),
    ("ANTHROPIC_KEY_2", "sk-ant-canary-51d07c-1"),
    ("OPENAI_API_KEY", "sk-canary-51d07c-3"),
];

#[test]
fn all_keys_of_the_environment_are_taken_as_references_and_check_passes() {
    // acceptance 87
    let user = User::new().with(&KEYS);
    let ended = user.run(&["init", "--yes"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("config.json is written: anthropic with 2 keys, openai with 1 key")
    );
    assert!(ended.stdout.contains("next: keypool serve"), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("ANTHROPIC_KEY_2 holds a key of anthropic that another"),
        "{ended:?}"
    );
    let text = user.read("config.json");
    assert!(!text.contains(CANARY), "{text}");
    for reference in [
        "\"$ANTHROPIC_API_KEY\"",
        "\"$ANTHROPIC_KEY_1\"",
        "\"$OPENAI_API_KEY\"",
    ] {
        assert!(text.contains(reference), "{text}");
    }
    assert_eq!(user.mode("config.json"), 0o600);
    let checked = user.check("config.json");
    assert_eq!(
        (
            checked.stdout.matches("key").count() > 0,
            checked.stderr.as_str()
        ),
        (true, "")
    );
}

#[test]
fn a_server_on_this_machine_needs_no_key() {
    let user = User::new();
    let ended = user.run(&["init", "--yes", "--provider", "ollama"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("ollama without a key"), "{ended:?}");
    assert!(user.read("config.json").contains(r#""ollama": {}"#));
    assert!(
        user.check("config.json")
            .stdout
            .contains("ollama with 1 key")
    );
    let asked = User::new();
    let ended = asked.run_with_input(&["init"], "vllm\n\n\n\nhere\n");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("vllm without a key"), "{ended:?}");
}

#[test]
fn answers_decide_and_a_key_in_the_place_of_a_name_is_neither_taken_nor_repeated() {
    let user = User::new()
        .with(&KEYS)
        .with(&[("TEAM_KEY", "gateway-canary-51d07c")]);
    let answers = format!(
        "no\nyes\ngroq\nsk-{CANARY}\nGROQ_KEY_1, $GROQ_KEY_2\nnone\nTEAM_KEY\n99999\n4000\nhome\n"
    );
    let ended = user.run_with_input(&["init"], &answers);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("Use anthropic with the keys in ANTHROPIC_API_KEY, ANTHROPIC_KEY_1?")
    );
    assert!(
        ended.stderr.contains("that is no name of a variable"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("a number from 0 to 65535 is needed"),
        "{ended:?}"
    );
    assert!(
        ended
            .stdout
            .contains("set before you start: GROQ_KEY_1, GROQ_KEY_2"),
        "{ended:?}"
    );
    assert!(!user.path("config.json").exists());
    let text = user.read(".config/keypool/config.json");
    assert!(
        !text.contains("anthropic") && !text.contains(CANARY),
        "{text}"
    );
    for part in [
        "\"PORT\": 4000",
        "\"APIKEY\": \"$TEAM_KEY\"",
        "\"openai\"",
        "\"$GROQ_KEY_2\"",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // Found from everywhere, once its variables are set.
    let ended = user
        .with(&[
            ("GROQ_KEY_1", "g-1-51d07c-0"),
            ("GROQ_KEY_2", "g-2-51d07c-0"),
        ])
        .run(&["check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("openai with 1 key (least-loaded), groq with 2 keys"),
        "{ended:?}"
    );
}

#[test]
fn a_file_that_is_there_is_kept_unless_it_shall_be_replaced() {
    let user = User::new().with(&KEYS);
    user.write("config.json", "mine");
    let ended = user.run(&["init"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    // Said before anything is asked.
    assert_eq!(
        ended.stderr,
        "keypool: config.json is there already; --force writes over it\n"
    );
    assert_eq!(user.read("config.json"), "mine");
    assert_eq!(user.run(&["init", "--yes", "--force"]).code, Some(0));
    assert_eq!(user.mode("config.json"), 0o600);
    user.check("config.json");
    let left: Vec<_> = std::fs::read_dir(user.path("")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn nothing_is_written_when_the_answers_end_early() {
    let user = User::new().with(&KEYS);
    let ended = user.run_with_input(&["init"], "yes\n");
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("--yes takes the proposals"),
        "{ended:?}"
    );
    assert!(!user.path("config.json").exists());
}

#[test]
fn named_variables_are_taken_whether_they_are_set_or_not() {
    let user = User::new();
    let arguments = [
        "init",
        "--yes",
        "--provider",
        "gemini",
        "--keys-from",
        "G_1,G_2",
        "--client-key-from",
        "CLIENTS_KEY",
        "--port",
        "4001",
        "--output",
        "deep/down/keypool.json",
    ];
    let ended = user.run(&arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("set before you start: CLIENTS_KEY, G_1, G_2"),
        "{ended:?}"
    );
    assert!(
        ended
            .stdout
            .contains("keypool serve --config deep/down/keypool.json"),
        "{ended:?}"
    );
    let user = user.with(&[
        ("CLIENTS_KEY", "c-51d07c"),
        ("G_1", "g-51d07c-1"),
        ("G_2", "g-51d07c-2"),
    ]);
    user.check("deep/down/keypool.json");
}

#[test]
fn the_gateways_own_key_is_not_taken_for_a_providers() {
    // What `eval "$(keypool env)"` leaves behind.
    let gateways = [
        ("OPENAI_API_KEY", "own-canary-51d07c"),
        ("ANTHROPIC_AUTH_TOKEN", "own-canary-51d07c"),
    ];
    let user = User::new()
        .with(&gateways)
        .with(&[("GEMINI_API_KEY", "keypool")]);
    let ended = user.run(&["init", "--yes"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("no key of one is in the environment"),
        "{ended:?}"
    );
}

#[test]
fn wrong_usage_is_told_and_nothing_is_written() {
    let user = User::new().with(&KEYS);
    for (arguments, hint) in [
        (
            &["--provider", "antropic"][..],
            "none of the providers whose address is known",
        ),
        (
            &["--provider", "groq"],
            "no key of groq is in the environment",
        ),
        (&["--keys-from", "A_1"], "--keys-from needs a --provider"),
        (
            &["--provider", "openai", "--provider", "openai"],
            "given twice",
        ),
        (
            &[
                "--provider",
                "openai",
                "--provider",
                "groq",
                "--keys-from",
                "A_1",
            ],
            "--keys-from needs one --provider",
        ),
        (
            &["--provider", "openai", "--keys-from", "sk-canary-51d07c-3"],
            "no name of a variable",
        ),
        (
            &["--client-key-from", "sk-canary-51d07c-3"],
            "no name of a variable",
        ),
    ] {
        let arguments = [&["init", "--yes"], arguments].concat();
        let ended = user.run(&arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(hint), "{arguments:?}: {ended:?}");
        assert!(!user.path("config.json").exists());
    }
}
