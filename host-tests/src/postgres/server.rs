//! One PostgreSQL server process with its data folder.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::binaries::Binaries;
use crate::wait::eventually;

/// The superuser of every cluster, let in without a password from this machine.
pub const USER: &str = "postgres";

/// A server of a cluster. Dropping it stops the process and waits for it.
pub struct Server {
    name: String,
    data: PathBuf,
    port: u16,
    binaries: Binaries,
    process: Mutex<Option<Child>>,
}

impl Server {
    pub(super) fn new(name: &str, data: PathBuf, binaries: Binaries) -> Result<Self> {
        Ok(Self { name: name.to_owned(), data, port: free_port()?, binaries, process: Mutex::new(None) })
    }

    /// Its `cluster_name`, which is the region that it stands for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Adds settings; they count from the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let path = self.data.join("postgresql.conf");
        let mut file =
            File::options().append(true).open(&path).with_context(|| format!("opening {}", path.display()))?;
        for (name, value) in settings {
            writeln!(file, "{name} = '{value}'")?;
        }
        Ok(())
    }

    /// Adds a line to pg_hba.conf before all others.
    pub(super) fn put_first_in_hba(&self, line: &str) -> Result<()> {
        let path = self.data.join("pg_hba.conf");
        let rest = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        std::fs::write(&path, format!("{line}\n{rest}")).with_context(|| format!("writing {}", path.display()))
    }

    /// The process id of its postmaster, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.process().as_ref().map(pid_of)
    }

    /// Starts the process and waits until it takes connections.
    ///
    /// # Errors
    /// With the last lines of the server's log when it does not come up.
    pub async fn start(&self) -> Result<()> {
        self.spawn()?;
        let up = eventually(Duration::from_secs(60), "the server to take connections", async || {
            if !self.is_running() {
                return Some(Err(anyhow::anyhow!("the process ended")));
            }
            self.connect().await.is_ok().then_some(Ok(()))
        });
        up.await
            .and_then(|outcome| outcome)
            .with_context(|| format!("starting PostgreSQL `{}`; its log ends with:\n{}", self.name, self.log_tail()))
    }

    /// Starts the process and returns at once.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .with_context(|| format!("opening {}", self.log_path().display()))?;
        let mut command = self.binaries.command("postgres")?;
        command.arg("-D").arg(&self.data).args(["-p", &self.port.to_string()]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting PostgreSQL `{}`", self.name))?;
        *self.process() = Some(child);
        Ok(())
    }

    /// A connection of our own, around every proxy and pool.
    ///
    /// # Errors
    /// When the server does not take it within ten seconds.
    pub async fn connect(&self) -> Result<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).dbname("postgres").application_name("test");
        let connecting = tokio::time::timeout(Duration::from_secs(10), config.connect(NoTls));
        let (client, connection) = connecting.await.context("connecting took too long")??;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs a statement that returns one value, as text, on a connection of its own.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn ask(&self, statement: &str) -> Result<String> {
        ask(&self.connect().await?, statement).await
    }

    /// Stops the replay of a replica.
    ///
    /// # Errors
    /// When it goes on.
    pub async fn pause_replay(&self) -> Result<()> {
        self.ask("SELECT pg_wal_replay_pause()::text").await?;
        eventually(Duration::from_secs(10), "the replay to be paused", async || {
            (self.ask("SELECT pg_get_wal_replay_pause_state()").await.ok()? == "paused").then_some(())
        })
        .await
    }

    /// Goes on with it.
    ///
    /// # Errors
    /// When the replica does not answer.
    pub async fn resume_replay(&self) -> Result<()> {
        self.ask("SELECT pg_wal_replay_resume()::text").await.map(drop)
    }

    /// Sends a signal to the postmaster: SIGSTOP, SIGCONT, SIGKILL, SIGINT (fast shutdown) or SIGQUIT (immediate).
    ///
    /// # Errors
    /// When there is no such process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process();
        let child = process.as_ref().with_context(|| format!("`{}` is not running", self.name))?;
        kill(pid_of(child), signal).with_context(|| format!("sending {signal} to `{}`", self.name))
    }

    /// Stops or continues every process of the server, backends too: a machine that hangs, and that comes back.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        let process = self.process();
        let child = process.as_ref().with_context(|| format!("`{}` is not running", self.name))?;
        let postmaster = pid_of(child);
        // Backends are sessions of their own, so the group does not reach them.
        let children = children_of(postmaster)?;
        for pid in std::iter::once(postmaster).chain(children) {
            match kill(pid, signal) {
                // A backend that has just ended.
                Err(nix::errno::Errno::ESRCH) if pid != postmaster => {}
                sent => sent.with_context(|| format!("sending {signal} to `{}`", self.name))?,
            }
        }
        Ok(())
    }

    /// Ends the process with a signal and waits for it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(&self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        let child = self.process().take();
        if let Some(mut child) = child {
            child.wait().with_context(|| format!("waiting for `{}` to end", self.name))?;
        }
        Ok(())
    }

    /// Ends the process at once, as a crash does, also where it hangs.
    ///
    /// # Errors
    /// When it does not end.
    pub fn crash(&self) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        // It may be gone by now.
        let _ = self.signal_all(Signal::SIGCONT);
        self.end(Signal::SIGQUIT)
    }

    /// Whether the process is there.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_path(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// All that the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.crash();
    }
}

/// Runs a statement that returns one value, as text; empty where it returns none.
///
/// # Errors
/// When the server refuses it.
pub async fn ask(client: &Client, statement: &str) -> Result<String> {
    let messages = client.simple_query(statement).await.with_context(|| format!("running {statement}"))?;
    let value = messages.iter().find_map(|message| {
        if let SimpleQueryMessage::Row(row) = message { row.get(0).map(str::to_owned) } else { None }
    });
    Ok(value.unwrap_or_default())
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("process ids fit"))
}

fn children_of(parent: Pid) -> Result<Vec<Pid>> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "ppid=,pid="]).output().context("running ps")?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = listing.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<i32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    Ok(pairs.filter(|(ppid, _)| *ppid == parent.as_raw()).map(|(_, pid)| Pid::from_raw(pid)).collect())
}

/// A port that is free now, and below those that the system gives to outgoing connections, so that it stays free while
/// its server is down. Each is given once.
fn free_port() -> Result<u16> {
    const PORTS: std::ops::Range<u32> = 20_000..30_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    for _ in PORTS {
        // Other processes of the kind start elsewhere.
        let offset = std::process::id().wrapping_mul(97).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port =
            u16::try_from(PORTS.start + offset % (PORTS.end - PORTS.start)).context("a port is a small number")?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("found no free port from {} to {}", PORTS.start, PORTS.end)
}
