//! The gateway under test: the real binary as a child process, or a gateway in this process whose clock
//! is moved by hand.

use std::io::Read;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use keypool_gateway::RunningGateway;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::client::Client;
use super::secrets::Seen;
use super::wait::eventually;

/// A gateway that serves. Dropped, it is stopped, and all that it said is searched for secrets.
pub(crate) struct Gateway {
    client: Client,
    seen: Seen,
    runner: Runner,
}

enum Runner {
    Process(Process),
    /// Taken when it is stopped.
    Here(Option<RunningGateway>),
}

/// A run of `keypool` that is over.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A child with all that it has written.
struct Process {
    child: Child,
    stdout: Seen,
    stderr: Seen,
    pumps: Vec<JoinHandle<()>>,
}

impl Deref for Gateway {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Gateway {
    /// Runs `keypool serve` and returns once it serves, or what it said when it would not.
    pub(crate) async fn spawn(
        config: &Path,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<Self, Refused> {
        let config = config.to_str().unwrap().to_owned();
        let serve = ["serve".to_owned(), "--config".to_owned(), config];
        let mut process = Process::spawn(serve.iter().chain(arguments), environment);
        let address = eventually("keypool serves or ends", async || {
            let serving = address_in(&process.stdout.text()).map(Some);
            serving.or_else(|| process.child.try_wait().unwrap().map(|_| None))
        });
        let Some(address) = address.await else {
            return Err(process.over());
        };
        let seen = Seen::default();
        let client = Client::http1(&address, seen.clone());
        Ok(Self {
            client,
            seen,
            runner: Runner::Process(process),
        })
    }

    /// Takes charge of a gateway in this process.
    pub(crate) fn here(gateway: RunningGateway) -> Self {
        let seen = Seen::default();
        let client = Client::http1(&format!("http://{}", gateway.traffic_addr()), seen.clone());
        Self {
            client,
            seen,
            runner: Runner::Here(Some(gateway)),
        }
    }

    /// The log so far. A gateway in this process has none.
    pub(crate) fn log(&self) -> String {
        match &self.runner {
            Runner::Process(process) => process.stderr.text(),
            Runner::Here(_) => String::new(),
        }
    }

    /// Waits for a line of the log with all of these words.
    pub(crate) async fn log_line(&self, words: &[&str]) -> String {
        let what = format!("a line of the log says {words:?}");
        eventually(&what, async || {
            let log = self.log();
            let mut lines = log.lines();
            lines
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(ToOwned::to_owned)
        })
        .await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process().pid(), signal).unwrap();
    }

    /// Bytes of memory that the process has.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc_file("status")).unwrap();
        let field = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = field.unwrap().trim().trim_end_matches(" kB");
        kibibytes.parse::<u64>().unwrap() * 1024
    }

    /// How many files and sockets the process has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(self.proc_file("fd")).unwrap().count()
    }

    /// Time of a CPU that the process has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(self.proc_file("stat")).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: u64 = [11, 12]
            .iter()
            .map(|&field| fields[field].parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(1000 * ticks / rustix::param::clock_ticks_per_second())
    }

    /// Allows the process no more files and sockets than this.
    pub(crate) fn limit_open_files(&self, most: usize) {
        let most = Some(u64::try_from(most).unwrap());
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        prlimit(Some(self.process().pid()), Resource::Nofile, limit).unwrap();
    }

    fn proc_file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.process().child.id())
    }

    fn process(&self) -> &Process {
        match &self.runner {
            Runner::Process(process) => process,
            Runner::Here(_) => panic!("no process of its own"),
        }
    }

    /// Waits for the end of the process.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let Runner::Process(process) = &mut self.runner else {
            panic!("no process of its own")
        };
        eventually("keypool ends", async || process.child.try_wait().unwrap())
            .await
            .code()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        match &mut self.runner {
            Runner::Process(process) => process.stop(),
            // Requests that a failed test left behind are cut, not waited for.
            Runner::Here(gateway) => drop(gateway.take().map(RunningGateway::shutdown)),
        }
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", self.log());
            return;
        }
        self.seen.assert_no_canary("an answer");
        if let Runner::Process(process) = &self.runner {
            process.stdout.assert_no_canary("standard output");
            process.stderr.assert_no_canary("the log");
        }
    }
}

/// Runs `keypool` to its end. Its output is searched for secrets.
pub(crate) async fn run_keypool(arguments: &[&str], environment: &[(&str, &str)]) -> Refused {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: Vec<_> = environment.iter().map(own).collect();
    let mut process = Process::spawn(arguments.iter(), &environment);
    eventually("keypool ends", async || process.child.try_wait().unwrap()).await;
    process.over()
}

impl Process {
    fn spawn(
        arguments: impl Iterator<Item = impl AsRef<std::ffi::OsStr>>,
        environment: &[(String, String)],
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keypool"))
            .args(arguments)
            // Nothing of the machine's may play a part.
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (Seen::default(), Seen::default());
        let pumps = vec![
            pump(child.stdout.take().unwrap(), stdout.clone()),
            pump(child.stderr.take().unwrap(), stderr.clone()),
        ];
        Self {
            child,
            stdout,
            stderr,
            pumps,
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pump in self.pumps.drain(..) {
            pump.join().unwrap();
        }
    }

    fn over(mut self) -> Refused {
        self.stop();
        self.stdout.assert_no_canary("standard output");
        self.stderr.assert_no_canary("standard error");
        let code = self.child.wait().unwrap().code();
        Refused {
            code,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }
}

fn pump(mut from: impl Read + Send + 'static, to: Seen) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            to.add(&buffer[..count]);
        }
    })
}

/// The address in the line by which keypool says that it serves.
fn address_in(stdout: &str) -> Option<String> {
    let line = stdout
        .lines()
        .find_map(|line| line.strip_prefix("keypool listening on "))?;
    stdout.contains('\n').then(|| line.trim().to_owned())
}

/// How long a stop in these tests waits for requests in flight; see [`super::Setup`].
pub(crate) const DRAIN: Duration = Duration::from_secs(5);
