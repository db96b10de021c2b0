//! A real PgBouncer between the doctor and the primary: `make test-pooler`, which installs it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use host_tests::postgres::Cluster;
use host_tests::process::free_address;
use host_tests::wait::eventually;
use tempfile::TempDir;

use crate::fixtures::{Doctor, Told, shared, url};

/// Dropping it ends it.
struct PgBouncer {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    async fn before(cluster: &Cluster, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (port, server) = (free_address().unwrap().port(), cluster.primary().address().port());
        // It does not run as root.
        let root = fs::metadata(folder.path()).unwrap().uid() == 0;
        let user = if root { "user = nobody" } else { "" };
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\n{user}\n{settings}\n"
        );
        let path = folder.path().join("pgbouncer.ini");
        fs::write(&path, ini).unwrap();
        let mut command = Command::new("pgbouncer");
        command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("`make test-pooler` installs PgBouncer");
        let bouncer = Self { process, port, _folder: folder };
        eventually(Duration::from_secs(30), "PgBouncer to listen", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await
        .unwrap();
        bouncer
    }

    async fn examine(&self, cluster: &Cluster) -> Told {
        Doctor::in_fra(&url(self.port), cluster.server("fra").address().port()).examine().await
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PgBouncer: make test-pooler"]
async fn a_pooler_in_transaction_mode_is_found_by_what_it_does() {
    let cluster = shared().await;
    for (settings, options) in [
        ("pool_mode = transaction\nignore_startup_parameters = options", "ignored"),
        ("pool_mode = statement\nignore_startup_parameters = options", "ignored"),
        ("pool_mode = transaction", "refused"),
    ] {
        let bouncer = PgBouncer::before(cluster, settings).await;
        let told = bouncer.examine(cluster).await;
        let candidate = told.candidate("configured");
        assert_eq!(
            (candidate["options"].as_str(), candidate["role"].as_str()),
            (Some(options), Some("primary")),
            "{told}"
        );
        // Newer ones know prepared statements.
        let code = match candidate["pooler"].as_str().unwrap() {
            "transaction-mode" => "pooler-transaction-mode",
            _ => "pooler-shares-connections",
        };
        let (_, instead) = told.finding(code, Some("configured"));
        assert!(instead.contains("DATABASE_URL"), "{told}");
        if options == "refused" {
            told.finding("pooler-refuses-options", Some("configured"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PgBouncer: make test-pooler"]
async fn a_pooler_in_session_mode_is_not_taken_for_one_in_transaction_mode() {
    let cluster = shared().await;
    let bouncer = PgBouncer::before(cluster, "pool_mode = session\nignore_startup_parameters = options").await;
    let told = bouncer.examine(cluster).await;
    assert!(
        ["none-seen", "keeps-connections"].contains(&told.candidate("configured")["pooler"].as_str().unwrap()),
        "{told}"
    );
    told.finding("reads-may-write", Some("configured"));
    assert_eq!(told.status, 0, "{told}");
}
