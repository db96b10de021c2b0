//! Ctrl-C, on a thread of its own: it is heard whatever the others do.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::{Command, step};

/// How long the orderly end may take. The watchdogs over servers and Machines end what is left then.
const ORDERLY_WITHIN: Duration = Duration::from_millis(1_800);

/// What comes with the first signal: the exit status of a command that was interrupted. A second one ends this process at
/// once, and so does the time.
pub(crate) fn on_signals(command: &Command) -> Result<oneshot::Receiver<ExitCode>> {
    // For a server Ctrl-C is the way to end it; shells report others like this.
    let interrupted = if matches!(command, Command::Up(_)) { 0_u8 } else { 130 };
    let runtime = Builder::new_current_thread().enable_all().build().context("listening for signals")?;
    let (stop, stopped) = oneshot::channel();
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let listen = async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        step("stopping");
        // Nobody is left to be told where the work has just ended by itself.
        let _ = stop.send(interrupted.into());
        let again = async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        };
        let _ = timeout(ORDERLY_WITHIN, again).await;
        std::process::exit(interrupted.into())
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(stopped)
}
