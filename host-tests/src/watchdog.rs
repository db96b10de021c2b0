//! Cleans up after this process when it cannot do so itself: killed, or left by Ctrl-C in the middle of a test.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A shell that waits for this process to end, however it ends, and then runs a script. It notices by the pipe that it
/// reads from. Dropping it runs the script and waits for it, unless it was called off.
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Over `argument`, which the script knows as `$1`.
    pub(crate) fn start(script: &str, argument: impl AsRef<OsStr>) -> Result<Self> {
        Command::new("sh")
            .args(["-c", &format!("cat > /dev/null\n{script}"), "watchdog"])
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map(Self)
            .context("starting a watchdog")
    }

    /// Ends its input, which is what it waits for.
    pub(crate) fn let_go(&mut self) {
        drop(self.0.stdin.take());
    }

    /// Ends it before it has done anything.
    pub(crate) fn call_off(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.let_go();
        // It ends by itself now that its input has.
        let _ = self.0.wait();
    }
}
