//! Cleans up after this process when it cannot do so itself: killed, or left by Ctrl-C in the middle of a test.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A shell that waits for this process to end, however it ends, and then stops the servers below a folder and removes
/// it. It notices by the pipe that it reads from.
pub(super) struct Watchdog(Child);

/// `$1` is the folder. SIGQUIT is PostgreSQL's immediate shutdown.
const SCRIPT: &str = r#"
cat > /dev/null
for pid_file in "$1"/*/postmaster.pid; do
    [ -f "$pid_file" ] || continue
    pid=$(head -n 1 "$pid_file")
    kill -CONT "$pid" 2> /dev/null
    kill -QUIT "$pid" 2> /dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2> /dev/null || break; sleep 0.2; done
done
rm -rf "$1"
"#;

impl Watchdog {
    pub(super) fn over(folder: &Path) -> Result<Self> {
        Command::new("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map(Self)
            .context("starting the watchdog over the temporary servers")
    }
}

impl Watchdog {
    /// Ends its input, which is what it waits for.
    pub(super) fn let_go(&mut self) {
        drop(self.0.stdin.take());
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.let_go();
        // It ends by itself now that its input has.
        let _ = self.0.wait();
    }
}
