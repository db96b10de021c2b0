//! Names of Fly's private network for a real Spin, which asks the resolver of the machine: entries in /etc/hosts that
//! lead to loopback addresses, each with forwarders on the ports of Postgres. Needs root.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::fault::FaultProxy;
use crate::machine::Routes;
use crate::wait::eventually;

const HOSTS: &str = "/etc/hosts";
const BEGIN: &str = "# begin: tests of nearest-replica";
const END: &str = "# end: tests of nearest-replica";

/// How long other tests may have the names, which are the same for all.
const TURN: Duration = Duration::from_secs(600);

/// The names, for as long as this lives.
pub struct PrivateNetwork {
    _forwarders: Vec<FaultProxy>,
    _entries: Entries,
}

impl PrivateNetwork {
    /// Whether this process may make up names.
    #[must_use]
    pub fn is_possible() -> bool {
        File::options().append(true).open(HOSTS).is_ok()
    }

    /// Waits until nobody else has the names, and makes them lead where the routes say.
    ///
    /// # Errors
    /// When /etc/hosts cannot be written, or when a loopback address or a port of it is not to be had.
    pub async fn start(routes: &Routes) -> Result<Self> {
        let mut addresses = Vec::<(String, Ipv4Addr)>::new();
        let mut listeners = Vec::new();
        for (name, port, target) in routes.private_names() {
            let address = match addresses.iter().find(|(known, _)| *known == name) {
                Some((_, address)) => *address,
                None => {
                    // 127.0.0.1 is left to the machine's own servers.
                    let address = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(addresses.len())?);
                    addresses.push((name, address));
                    address
                }
            };
            listeners.push((SocketAddr::new(IpAddr::V4(address), port), target));
        }
        let entries = Entries::add(&addresses).await?;
        let mut forwarders = Vec::new();
        for (address, target) in listeners {
            let free = format!("{address} to be free, to which a name of the private network leads");
            // The tests before this one may just be closing theirs.
            let forwarder =
                eventually(Duration::from_secs(5), &free, async || match FaultProxy::at(address, target).await {
                    Err(error) if is_taken(&error) => None,
                    outcome => Some(outcome),
                });
            forwarders.push(forwarder.await??);
        }
        Ok(Self { _forwarders: forwarders, _entries: entries })
    }
}

fn is_taken(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// Lines of our own in /etc/hosts. Dropping them takes the lines away.
struct Entries {
    /// On the folder, since the file is replaced. Held until the lines are gone.
    _lock: File,
}

impl Entries {
    async fn add(addresses: &[(String, Ipv4Addr)]) -> Result<Self> {
        let lock = File::open("/etc").context("opening /etc")?;
        eventually(TURN, "other tests to give up their names", async || lock.try_lock().ok()).await?;
        let lines: String = addresses.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        replace(&with_entries(&hosts()?, &lines))?;
        Ok(Self { _lock: lock })
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        if let Err(error) = hosts().and_then(|text| replace(&without_entries(&text))) {
            eprintln!("{HOSTS} still has lines of the tests: {error:#}");
        }
    }
}

fn hosts() -> Result<String> {
    fs::read_to_string(HOSTS).with_context(|| format!("reading {HOSTS}"))
}

/// At once, so that nobody reads half of it; where the file is a mount of a container's, as fast as it goes.
fn replace(text: &str) -> Result<()> {
    let new = format!("{HOSTS}.nearest-replica");
    let writing = || format!("writing {HOSTS}");
    fs::write(&new, text).with_context(writing)?;
    fs::set_permissions(&new, fs::metadata(HOSTS)?.permissions()).with_context(writing)?;
    match fs::rename(&new, HOSTS) {
        Err(error) if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::CrossesDevices) => {
            fs::remove_file(&new).with_context(writing)?;
            fs::write(HOSTS, text).with_context(writing)
        }
        renamed => renamed.with_context(writing),
    }
}

/// Whatever a process left that was killed is replaced as well.
fn with_entries(text: &str, lines: &str) -> String {
    let mut text = without_entries(text);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    format!("{text}{BEGIN}\n{lines}{END}\n")
}

fn without_entries(text: &str) -> String {
    let mut ours = false;
    let others = text.split_inclusive('\n').filter(|line| {
        let line = line.trim_end();
        let skip = ours || line == BEGIN;
        ours = skip && line != END;
        !skip
    });
    others.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lines_come_and_go_and_all_others_stay() {
        let others = "127.0.0.1 localhost\n# a comment\n10.0.0.1 db";
        let lines = "127.0.0.2 db.flycast\n";
        let with = with_entries(others, lines);
        assert_eq!(with, format!("{others}\n{BEGIN}\n{lines}{END}\n"));
        assert_eq!(with_entries(&with, lines), with, "what a killed process left is replaced");
        assert_eq!(without_entries(&format!("{with}::1 later\n")), format!("{others}\n::1 later\n"));
        assert_eq!(without_entries(others), others);
    }
}
