//! CPU time and memory of a process and all that it has started. It is the steady figure on a shared machine.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// The processes of a tree at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Process -> CPU time so far.
    cpu: BTreeMap<u32, Duration>,
    /// Resident memory of all of them, in bytes.
    pub(crate) memory: u64,
}

impl Usage {
    /// Of the process `root` and its descendants.
    pub(crate) fn of(root: u32) -> Result<Self> {
        let mut system = System::new()?;
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        let mut usage = Self::default();
        for (pid, process) in system.processes() {
            let mut ancestors = std::iter::successors(Some(*pid), |pid| system.process(*pid)?.parent());
            // A thread is not a process of its own.
            if process.thread_kind().is_none() && ancestors.any(|pid| pid == Pid::from_u32(root)) {
                usage.cpu.insert(pid.as_u32(), Duration::from_millis(process.accumulated_cpu_time()));
                usage.memory += process.memory();
            }
        }
        Ok(usage)
    }

    /// CPU time used since an earlier moment, without processes that have ended meanwhile.
    pub(crate) fn cpu_since(&self, earlier: &Self) -> Duration {
        let used =
            |(pid, cpu): (&u32, &Duration)| cpu.saturating_sub(earlier.cpu.get(pid).copied().unwrap_or_default());
        self.cpu.iter().map(used).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_as_cpu_time_of_its_tree() {
        let here = std::process::id();
        let before = Usage::of(here).unwrap();
        let mut command = std::process::Command::new("sh");
        let child = command.args([
            "-c",
            "read -r line; i=0; while [ $i -lt 300000 ]; do \
            i=$((i + 1)); done; echo done; read -r line",
        ]);
        let mut child = child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut said = [0; 4];
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"go\n").unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        let after = Usage::of(here).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(after.cpu_since(&before) > Duration::from_millis(10), "{after:?}");
        assert!(after.memory > before.memory, "{after:?}");
    }
}
