//! A primary and its streaming replicas, one for each region.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::time::timeout;

use super::binaries::{Binaries, hand_over, run, succeeded};
use super::server::{Server, USER};
use crate::wait::eventually;
use crate::watchdog::Watchdog;

/// The region of the primary.
pub const PRIMARY: &str = "sjc";

/// A user who must say [`PASSWORD`].
pub const PASSWORD_USER: &str = "ann";
/// A password that is easy to take for something else in a URL.
pub const PASSWORD: &str = "p@ss:5432/%40";
/// The two as they stand in a URL.
pub const PASSWORD_LOGIN: &str = "ann:p%40ss%3A5432%2F%2540";

/// Stops the servers below the folder `$1`, and removes it. SIGQUIT is PostgreSQL's immediate shutdown.
const STOP_ALL_BELOW: &str = r#"
for pid_file in "$1"/*/postmaster.pid; do
    [ -f "$pid_file" ] || continue
    pid=$(head -n 1 "$pid_file")
    kill -CONT "$pid" 2> /dev/null
    kill -QUIT "$pid" 2> /dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2> /dev/null || break; sleep 0.2; done
done
rm -rf "$1"
"#;

/// A running cluster. Dropping it stops every server, waits, and removes the folder.
pub struct Cluster {
    // In the order in which they are dropped.
    servers: Vec<Server>,
    /// Which of them takes writes.
    primary: AtomicUsize,
    folder: TempDir,
    watchdog: Watchdog,
    binaries: Binaries,
}

impl Cluster {
    /// A primary in [`PRIMARY`] and a replica in each of `regions`, all of them streaming.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start.
    pub async fn start(regions: &[&str]) -> Result<Self> {
        Self::start_with(regions, &[]).await
    }

    /// The same with more settings for every server.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start.
    pub async fn start_with(regions: &[&str], settings: &[(&str, &str)]) -> Result<Self> {
        let binaries = Binaries::find()?;
        let folder = tempfile::Builder::new().prefix("nearest-replica-").tempdir().context("making a folder")?;
        hand_over(folder.path())?;
        let watchdog = Watchdog::start(STOP_ALL_BELOW, folder.path())?;
        let primary = new_primary(folder.path(), &binaries)?;
        primary.configure(settings)?;
        primary.start().await?;
        primary.ask(&format!("CREATE ROLE {PASSWORD_USER} LOGIN PASSWORD '{PASSWORD}'")).await?;
        let mut cluster = Self { servers: vec![primary], primary: AtomicUsize::new(0), folder, watchdog, binaries };
        for region in regions {
            cluster.add_replica(region).await?;
        }
        Ok(cluster)
    }

    async fn add_replica(&mut self, region: &str) -> Result<()> {
        let replica = Server::new(region, self.folder.path().join(region), self.binaries.clone())?;
        self.copy_primary_to(&replica).await?;
        self.servers.push(replica);
        Ok(())
    }

    /// Starts a server on a new copy of the primary's data, and waits until it streams.
    async fn copy_primary_to(&self, replica: &Server) -> Result<()> {
        let (data, region, primary) = (replica.data(), replica.name(), self.primary());
        answers(primary).await?;
        // Beside what there is: a copy that fails takes nothing away.
        let copy = data.with_extension("copy");
        let mut backup = self.binaries.command("pg_basebackup")?;
        let from = conninfo(primary.address(), "backup");
        backup.arg("-D").arg(&copy).args(["-X", "stream", "-c", "fast"]).args(["-d", &from]);
        let what = format!("copying the primary for replica `{region}`");
        let mut backup = tokio::process::Command::from(backup);
        let output = timeout(COPIED_WITHIN, backup.kill_on_drop(true).output()).await;
        let copied = output.with_context(|| format!("{what} took too long"))?.with_context(|| what.clone());
        if let Err(error) = copied.and_then(|output| succeeded(&output, &what)) {
            let _ = std::fs::remove_dir_all(&copy);
            return Err(error);
        }
        if data.exists() {
            std::fs::remove_dir_all(data).with_context(|| format!("removing the old data of `{region}`"))?;
        }
        std::fs::rename(&copy, data).with_context(|| format!("naming the data of `{region}`"))?;
        replica.configure(&[("cluster_name", region), ("primary_conninfo", &conninfo(primary.address(), region))])?;
        let standby = data.join("standby.signal");
        std::fs::write(&standby, "").context("marking the replica")?;
        hand_over(&standby)?;
        replica.start().await?;
        self.wait_until_streaming(region).await
    }

    async fn wait_until_streaming(&self, region: &str) -> Result<()> {
        let question = format!("SELECT state FROM pg_stat_replication WHERE application_name = '{region}'");
        eventually(Duration::from_secs(30), &format!("replica `{region}` to stream"), async || {
            (self.primary().ask(&question).await.ok()? == "streaming").then_some(())
        })
        .await
    }

    /// Makes the replica of a region the primary: the one there was ends at once, the others follow the new one, as soon as
    /// they run. What the new one has not received is lost, as with every asynchronous primary.
    ///
    /// # Errors
    /// When the region's server is no replica that answers; nothing has happened then.
    pub async fn promote(&self, region: &str) -> Result<()> {
        let (index, new) =
            self.servers.iter().enumerate().find(|(_, server)| server.name() == region).context("no such server")?;
        ensure!(self.primary.load(Ordering::Acquire) != index, "`{region}` is the primary");
        answers(new).await?;
        self.primary().crash()?;
        // It may become one although it does not say so.
        let told = new.ask("SELECT pg_promote()::text").await.map_err(|error| format!("{error:#}"));
        let is_replica = new.ask("SELECT pg_is_in_recovery()::text").await?;
        ensure!(is_replica == "false", "`{region}` was told to become the primary, and has not done so: {told:?}");
        self.primary.store(index, Ordering::Release);
        for replica in self.replicas().filter(|replica| replica.is_running()) {
            self.follow(replica)?;
            // One that hangs hears of it when it goes on.
            replica.signal(Signal::SIGHUP)?;
        }
        Ok(())
    }

    fn follow(&self, replica: &Server) -> Result<()> {
        replica.configure(&[("primary_conninfo", &conninfo(self.primary().address(), replica.name()))])
    }

    /// Starts a server that is down: with the data that it has, or as a new replica where it cannot follow the primary
    /// with those.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_again(&self, region: &str) -> Result<()> {
        let (server, primary) = (self.server(region), self.primary());
        if std::ptr::eq(server, primary) {
            return server.start().await;
        }
        let was_replica = server.data().join("standby.signal").exists();
        if was_replica {
            self.follow(server)?;
            server.start().await?;
            if answers(primary).await.is_err() || self.wait_until_streaming(region).await.is_ok() {
                return Ok(());
            }
            server.crash()?;
        }
        self.copy_primary_to(server).await
    }

    /// Where the data folders and logs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the cluster to its watchdog, as this process does when it is killed.
    pub fn abandon(self) {
        let mut cluster = std::mem::ManuallyDrop::new(self);
        cluster.watchdog.let_go();
    }

    /// The server that takes writes.
    #[must_use]
    pub fn primary(&self) -> &Server {
        &self.servers[self.primary.load(Ordering::Acquire)]
    }

    /// The server of a region.
    ///
    /// # Panics
    /// When the cluster has none there.
    #[must_use]
    pub fn server(&self, region: &str) -> &Server {
        self.servers().find(|server| server.name() == region).expect("the cluster has a server in this region")
    }

    /// All servers, the one that began as the primary first.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter()
    }

    fn replicas(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| !std::ptr::eq(*server, self.primary()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All at once: nobody waits longer than for the slowest.
        std::thread::scope(|scope| self.servers.iter().for_each(|server| drop(scope.spawn(|| server.crash()))));
    }
}

/// How long a copy of a database without much in it may take.
const COPIED_WITHIN: Duration = Duration::from_secs(60);

/// Finds out at once whether a server can be worked with.
async fn answers(server: &Server) -> Result<()> {
    let asked = timeout(Duration::from_secs(2), server.ask("SELECT 1")).await;
    let name = server.name();
    asked.ok().and_then(Result::ok).map(drop).with_context(|| format!("`{name}` does not answer: let it run first"))
}

fn new_primary(folder: &Path, binaries: &Binaries) -> Result<Server> {
    let data = folder.join(PRIMARY);
    let mut initdb = binaries.command("initdb")?;
    initdb.arg("-D").arg(&data).args(["-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
    run(initdb, "making a database cluster with initdb")?;
    let primary = Server::new(PRIMARY, data, binaries.clone())?;
    primary.configure(&[
        ("cluster_name", PRIMARY),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        // As many as Fly's own image sets, for all the connections that Spin's pools may open.
        ("max_connections", "300"),
        ("wal_level", "replica"),
        ("hot_standby", "on"),
        // A replica that is far behind, or that follows another primary, finds what it lacks.
        ("wal_keep_size", "512MB"),
        // Nothing here outlives the test.
        ("fsync", "off"),
        ("shared_buffers", "16MB"),
        ("dynamic_shared_memory_type", "posix"),
    ])?;
    primary.put_first_in_hba(&format!("host all {PASSWORD_USER} 127.0.0.1/32 scram-sha-256"))?;
    Ok(primary)
}

fn conninfo(address: SocketAddr, name: &str) -> String {
    format!("host={} port={} user={USER} application_name={name}", address.ip(), address.port())
}
