//! Where PostgreSQL's programs are, and as whom they may run.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{Uid, User, chown};

/// The programs of one installation.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    folder: PathBuf,
}

/// What every PostgreSQL server package has.
const NEEDED: [&str; 3] = ["initdb", "postgres", "pg_basebackup"];

impl Binaries {
    /// Looks on PATH, where Debian and Ubuntu put them, and where Homebrew does; the newest wins.
    pub(super) fn find() -> Result<Self> {
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        let versioned = ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt"].map(PathBuf::from);
        let folders = std::env::split_paths(&on_path).chain(versioned.iter().flat_map(|root| versions(root)));
        for folder in folders {
            if NEEDED.iter().all(|name| folder.join(name).is_file()) {
                return Ok(Self { folder });
            }
        }
        bail!(
            "found no PostgreSQL server (initdb, postgres, pg_basebackup) on PATH, in /usr/lib/postgresql or in \
             Homebrew's folders: `make setup` installs it (Debian, Ubuntu: apt-get install postgresql; macOS: brew \
             install postgresql)"
        )
    }

    /// A command that runs one of the programs, not as root, which PostgreSQL refuses.
    pub(super) fn command(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(self.folder.join(name));
        if let Some(user) = unprivileged()? {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        // Not in this process's group: Ctrl-C is for us, and we stop the servers in order.
        command.process_group(0).env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        Ok(command)
    }
}

/// The `bin` folders of the versions below `root`, newest first.
fn versions(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let number = |name: &str| name.trim_start_matches("postgresql@").parse::<u32>().ok();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = if name == "postgresql" { u32::MAX } else { number(&name)? };
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// The user to step down to; `None` when this process is not root.
fn unprivileged() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name).context("looking up a user to run PostgreSQL as")? {
            return Ok(Some(user));
        }
    }
    bail!("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to step down to")
}

/// Gives a folder to the user that the servers run as.
pub(super) fn hand_over(folder: &Path) -> Result<()> {
    if let Some(user) = unprivileged()? {
        chown(folder, Some(user.uid), Some(user.gid))
            .with_context(|| format!("giving {} to {}", folder.display(), user.name))?;
    }
    Ok(())
}

/// Runs a command to its end.
pub(super) fn run(mut command: Command, what: &str) -> Result<()> {
    succeeded(&command.output().with_context(|| what.to_owned())?, what)
}

/// With what a command has said, where it failed.
pub(super) fn succeeded(output: &Output, what: &str) -> Result<()> {
    ensure!(output.status.success(), "{what}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
