//! Builds the components of an application as `spin build` does: each with its own commands, those first that others
//! depend on (Spin `crates/build`).

use std::io::stderr;
use std::path::Path;
use std::process::Command;
use std::slice;

use anyhow::{Context, Result, ensure};

use super::compose::read;
use super::dependencies::Entry;
use super::manifest::{Commands, Component, Manifest, folder_of};

/// Finds out whether this host can serve a manifest, as far as the manifest tells.
///
/// # Errors
/// With what it lacks.
pub fn check(manifest: &Path) -> Result<()> {
    Manifest::load(manifest)?.dependencies().map(drop)
}

/// Builds all components of a manifest.
///
/// # Errors
/// When a command fails; what it printed is on stderr. When a file is missing after that, or is no component.
pub fn build(manifest: &Path) -> Result<()> {
    let folder = folder_of(manifest);
    let manifest = Manifest::load(manifest)?;
    let is_needed = |id: &str, component: &Component| {
        manifest.components().values().flat_map(|other| other.dependencies.values()).any(|entry| match entry {
            Entry::Component { component, .. } => component == id,
            Entry::File { path, .. } => *path == component.source,
            Entry::Other(_) => false,
        })
    };
    // Two steps are enough: a dependency has no dependencies.
    let (first, last): (Vec<_>, Vec<_>) =
        manifest.components().iter().partition(|(id, component)| is_needed(id, component));
    first.into_iter().chain(last).try_for_each(|(id, component)| run(id, component, &folder))?;
    manifest.components().values().try_for_each(|component| read(&folder.join(&component.source)).map(drop))
}

fn run(id: &str, component: &Component, folder: &Path) -> Result<()> {
    let Some(build) = &component.build else { return Ok(()) };
    let workdir = build.workdir.as_deref().unwrap_or(Path::new(""));
    ensure!(!workdir.has_root(), "The workdir specified in the application file must be relative.");
    let commands = match &build.command {
        Commands::One(command) => slice::from_ref(command),
        Commands::Several(commands) => commands,
    };
    for command in commands {
        // An empty folder is none: the manifest lies in the current one.
        let folder = folder.join(workdir);
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
        let status = Command::new("sh").args(["-c", command]).current_dir(folder).stdout(stderr()).status();
        let status = status.with_context(|| format!("starting {command:?} in {}", folder.display()))?;
        ensure!(status.success(), "building {id:?} with {command:?} failed: {status}");
    }
    Ok(())
}
