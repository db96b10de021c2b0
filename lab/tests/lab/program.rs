//! What the tests start from: the program, what it prints, and its page.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host_tests::client::{Answer, Client};
use host_tests::machine::repository;
use host_tests::wait::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::sync::{Mutex as Turn, MutexGuard};

/// How long anything may take that must happen in the end: a build, too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// The same where nothing is built.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The program `lab`, without what this process's environment would tell it; with the Spin of `SPIN`, if there is one.
pub(crate) fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    for name in ["APP", "SCHEMA", "LAG", "DISTANCE", "PORT", "RUN", "DATABASE_URL", "LOAD_PATH", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    if std::env::var_os("SPIN").is_some_and(|spin| spin.is_empty()) {
        command.env_remove("SPIN");
    }
    command.args(arguments).current_dir(repository()).stdin(Stdio::null());
    command
}

/// Runs it to its end: its exit status, and what it said on stdout and stderr.
pub(crate) fn run(mut command: Command) -> (ExitStatus, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

/// One lab after the other: three Machines and three servers are enough for a small machine.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Turn<()> = Turn::const_new(());
    TURN.lock().await
}

/// The first of four ports that are free now, below those that the system gives to outgoing connections.
pub(crate) fn four_free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_process = u16::try_from(std::process::id() % 500).unwrap() * 4;
    (0..500)
        .map(|_| 15_000 + (of_process + NEXT.fetch_add(4, Ordering::Relaxed)) % 4_000)
        .find(|first| (*first..first + 4).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()))
        .unwrap()
}

/// A running `lab up`. Dropping it stops it.
pub(crate) struct Lab {
    child: Child,
    port: u16,
    said: Arc<Mutex<String>>,
}

impl Lab {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[]).await
    }

    pub(crate) async fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut lab = Self::spawn(arguments, environment);
        let ready = eventually(PATIENCE, "the lab to be ready", async || {
            assert!(lab.child.try_wait().unwrap().is_none(), "it has ended: {}", lab.said());
            lab.said().contains("ready (Ctrl-C").then_some(())
        });
        ready.await.unwrap();
        lab
    }

    /// Starts it.
    pub(crate) fn spawn(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let port = four_free_ports();
        let port_text = port.to_string();
        let mut command = lab(&[&["up", "--port", &port_text], arguments].concat());
        command.envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        follow(child.stdout.take().unwrap(), &said);
        follow(child.stderr.take().unwrap(), &said);
        Self { child, port, said }
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually(SOON, "the lab to end", async || self.child.try_wait().unwrap()).await.unwrap()
    }

    /// Where the app is, in a region.
    pub(crate) fn region(&self, index: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port + index))
    }

    /// Where the page is.
    pub(crate) fn page(&self) -> SocketAddr {
        self.region(3)
    }

    /// Asks for something as the page does.
    pub(crate) async fn ask(&self, command: &Value) -> Answer {
        let origin = format!("http://{}", self.page());
        let headers = [("origin", origin.as_str()), ("content-type", "application/json")];
        let mut client = Client::connect(self.page()).await.unwrap();
        client.send_with(http::Method::POST, "/commands", &headers, command.to_string()).await.unwrap()
    }

    /// The same where it must not be refused.
    pub(crate) async fn does(&self, command: &Value) -> Value {
        let answer = self.ask(command).await;
        assert_eq!(answer.status, 200, "{command}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the lab said:\n{}---", self.said());
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

fn follow(stream: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            said.lock().unwrap().push_str(&format!("{line}\n"));
        }
    });
}

/// Why a region's own replica answers: a real Spin, for which no names can be made up, knows it as the replica port.
pub(crate) fn home() -> &'static str {
    if std::env::var_os("SPIN").is_some_and(|spin| !spin.is_empty()) { "nearest" } else { "local" }
}
