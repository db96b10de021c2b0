//! Variables that come from a vault on the network: what its silence costs the first request of an instance.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use host_tests::machine::{Machine, Setup};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::fixtures::{assert_ok, assert_problem, get, host, shared_cluster, url_of};
use crate::scenario::DEADLINE;

/// As much of HashiCorp Vault as Spin asks for: one key, `url`, in a key-value engine of version 2.
struct FakeVault {
    address: SocketAddr,
    /// Keys about which nothing is said.
    silent: Arc<Mutex<BTreeSet<&'static str>>>,
    running: JoinHandle<()>,
}

impl FakeVault {
    async fn with_url(url: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silent = Arc::default();
        let shared = Arc::clone(&silent);
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, url.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, silent, running }
    }

    fn be_silent_about(&self, keys: impl IntoIterator<Item = &'static str>) {
        *self.silent.lock().unwrap() = keys.into_iter().collect();
    }
}

impl Drop for FakeVault {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn serve(mut stream: TcpStream, url: String, silent: Arc<Mutex<BTreeSet<&'static str>>>) {
    let mut unread = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut unread).await {
        let text = String::from_utf8_lossy(&unread).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        unread.clear();
        // Spin's client ends the path with an empty query.
        let path = head.split([' ', '?']).nth(1).unwrap_or_default();
        let key = path.rsplit('/').next().unwrap_or_default();
        if silent.lock().unwrap().contains(key) {
            return std::future::pending().await;
        }
        let metadata = serde_json::json!({
            "created_time": "2026-01-01T00:00:00Z", "custom_metadata": null, "deletion_time": "", "destroyed": false,
            "version": 1,
        });
        let (status, body) = if key == "url" {
            let data = serde_json::json!({ "data": { "value": url }, "metadata": metadata });
            let lease = serde_json::json!({
                "data": data, "request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0,
            });
            ("200 OK", lease)
        } else {
            ("404 Not Found", serde_json::json!({ "errors": [] }))
        };
        let body = body.to_string();
        let length = body.len();
        let response =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A Machine that asks this vault for its variables, and the folder with its runtime configuration.
async fn machine_with(vault: &FakeVault) -> (Machine, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("runtime-config.toml");
    let provider = format!(
        "[[variables_provider]]\ntype = \"vault\"\nurl = \"http://{}\"\ntoken = \"root\"\nmount = \"secret\"\n",
        vault.address
    );
    std::fs::write(&config, provider).unwrap();
    let setup = Setup { runtime_config: Some(config), ..Setup::default() };
    let setup = setup.env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*");
    (Machine::start(&host(), setup).await.unwrap(), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_says_nothing_is_named_within_the_deadline_and_asked_again() {
    let cluster = shared_cluster().await;
    let vault = FakeVault::with_url(url_of(&cluster, "")).await;
    // The first variable that an instance asks for, and those that it asks for all at once.
    for (silent, named) in [("url", "database_url"), ("deadline_ms", "deadline_ms")] {
        vault.be_silent_about([]);
        let (machine, _folder) = machine_with(&vault).await;
        vault.be_silent_about([silent, "region"]);
        let answer = get(&machine).await;
        assert!(answer.took < DEADLINE, "{answer:?}");
        let body = assert_problem(&answer, 500, "misconfigured");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("`{named}` is not there after ")), "{detail}");
        vault.be_silent_about([]);
        assert_ok(&get(&machine).await);
    }
}
