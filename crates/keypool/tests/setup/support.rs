//! A directory to work in, and `keypool` run within it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Part of every key.
pub(crate) const CANARY: &str = "canary-51d07c";

/// Keys of a provider, in the variables that the simulator's configuration of the tests refers to.
pub(crate) const PROVIDER_KEYS: [(&str, &str); 2] = [
    ("ANTHROPIC_KEY_1", "sk-ant-canary-51d07c-0001"),
    ("ANTHROPIC_KEY_2", "sk-ant-canary-51d07c-0002"),
];

/// A user's directory, which is also the home.
pub(crate) struct User {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl User {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// With these variables besides `PATH` and `HOME`.
    pub(crate) fn with(mut self, variables: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.variables.extend(variables.iter().map(own));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A script that can be run.
    pub(crate) fn script(&self, name: &str, text: &str) {
        self.write(name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Who may do what with a file.
    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }

    /// A command in this directory, with nothing of the machine's environment but the `PATH`.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.directory.path())
            .envs(self.variables.clone())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn keypool(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_keypool"));
        command.args(arguments);
        command
    }

    /// Runs keypool to its end; no key may be in what it says.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.keypool(arguments).output().unwrap().into()
    }

    /// The same, with something to read on standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.keypool(arguments);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// `keypool check` says that the configuration is fine.
    pub(crate) fn check(&self, config: &str) -> Ended {
        let ended = self.run(&["check", "--config", config]);
        assert_eq!(ended.code, Some(0), "{ended:?}\n{}", self.read(config));
        ended
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let ended = Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        for said in [&ended.stdout, &ended.stderr] {
            assert!(!said.contains(CANARY), "a key got out: {said}");
        }
        ended
    }
}

/// A child that prints its address on its first line. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        // The rest is read too, so that the child never waits for a reader.
        std::thread::spawn(move || out.read_to_string(&mut String::new()));
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://"), "{line}");
        Self { child, url }
    }

    /// The simulator, which takes the keys of [`PROVIDER_KEYS`] and one of OpenAI's kind.
    pub(crate) fn simulator(user: &User) -> Self {
        let keys =
            PROVIDER_KEYS.map(|(_, key)| format!(r#"{{"secret":"{key}","organisation":"a"}}"#));
        let config = format!(
            r#"{{"organisations":[{{"name":"a","dialect":"anthropic"}},{{"name":"o","dialect":"openai"}}],
                "keys":[{},{{"secret":"sk-proj-{CANARY}","organisation":"o"}}]}}"#,
            keys.join(",")
        );
        user.write("simulator.json", &config);
        let arguments = [
            "sim",
            "--listen",
            "127.0.0.1:0",
            "--config-file",
            "simulator.json",
        ];
        Self::start(user.keypool(&arguments))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends one request and gives back status and body.
pub(crate) fn ask(url: &str, path: &str, key: &str, body: Option<&str>) -> (u16, String) {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let (method, body) = body.map_or(("GET", ""), |body| ("POST", body));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

/// A request to a model.
pub(crate) fn hello(model: &str) -> String {
    format!(
        r#"{{"model":"{model}","max_tokens":16,"messages":[{{"role":"user","content":"Hello"}}]}}"#
    )
}
