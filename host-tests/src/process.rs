//! A server that runs as a process of its own: a real Spin, or what a benchmark compares with.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::client::Client;
use crate::logs::Logs;
use crate::wait::eventually;
use crate::watchdog::Watchdog;

/// The process. Dropping it ends the process and waits for it; where this one ends in another way, a watchdog ends it.
pub struct Process {
    child: Child,
    watchdog: Watchdog,
}

/// Ends the process `$1`, with its group.
const END_GROUP: &str = "kill -TERM \"$1\"; sleep 1; kill -KILL \"-$1\"";

/// How long a process that was asked to end may take.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

impl Process {
    /// Starts it without this process's environment, and waits until it answers `health` with 2xx.
    ///
    /// # Errors
    /// With what it wrote when it does not come up.
    pub async fn start(mut command: Command, address: SocketAddr, health: &str, logs: &Logs) -> Result<Self> {
        let own: Vec<_> =
            command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        command
            .env_clear()
            .envs(["PATH", "HOME", "TMPDIR"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(own)
            // Ctrl-C is for us, and we end it in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
        follow(child.stdout.take(), logs);
        follow(child.stderr.take(), logs);
        let watchdog = Watchdog::start(END_GROUP, child.id().to_string())?;
        let mut process = Self { child, watchdog };
        let what = format!("{program} to answer {health}");
        let ready = eventually(Duration::from_secs(60), &what, async || {
            if let Ok(Some(status)) = process.child.try_wait() {
                return Some(Err(status));
            }
            let mut client = Client::connect(address).await.ok()?;
            client.get(health).await.ok()?.status.is_success().then_some(Ok(()))
        });
        match ready.await {
            Ok(Ok(())) => Ok(process),
            Ok(Err(status)) => bail!("{program} ended ({status}):\n{}", logs.text()),
            Err(error) => Err(error.context(logs.text())),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // First, for its signal might find another process of the same number.
        self.watchdog.call_off();
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // SIGTERM, not SIGKILL: `spin up` has a child of its own to stop. It does not where a guest loops.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            let end = Instant::now() + ENDS_WITHIN;
            while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// An address on this machine that is free now, for a program that cannot choose one itself.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?.local_addr()?)
}

fn follow(stream: Option<impl Read + Send + 'static>, logs: &Logs) {
    let logs = logs.clone();
    if let Some(stream) = stream {
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                logs.line(&line);
            }
        });
    }
}
