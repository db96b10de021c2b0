//! Ctrl-C, on a thread of its own: it is heard whatever the others do.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::{Command, step};

/// How long the orderly end may take. The watchdogs over servers and Machines end what is left then.
const ORDERLY_WITHIN: Duration = Duration::from_millis(1_800);

/// What a command that was interrupted is reported as.
static INTERRUPTED: OnceLock<i32> = OnceLock::new();

/// What comes with the first signal. A second one ends this process at once, and so does the time.
pub(crate) fn on_signals(command: &Command) -> Result<oneshot::Receiver<()>> {
    // For a server Ctrl-C is the way to end it; shells report others like this.
    let interrupted = if matches!(command, Command::Up(_)) { 0 } else { 130 };
    let interrupted = *INTERRUPTED.get_or_init(|| interrupted);
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
        let _ = stop.send(());
        let again = async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        };
        let _ = timeout(ORDERLY_WITHIN, again).await;
        std::process::exit(interrupted)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(stopped)
}

/// Ends this process after a signal, when all is stopped.
pub(crate) fn exit() -> ! {
    std::process::exit(INTERRUPTED.get().copied().unwrap_or_default())
}
