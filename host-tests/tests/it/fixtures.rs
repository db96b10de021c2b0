//! What most tests start from.

use std::io::Write;
use std::ops::Deref;
use std::sync::{Arc, Once, Weak};

use host_tests::client::Answer;
use host_tests::machine::{Host, Machine, Setup};
use host_tests::postgres::{Cluster, USER};
use host_tests::private_network::PrivateNetwork;
use tokio::sync::Mutex;

use crate::turn::{Turn, beside_others};

pub(crate) const REPLICAS: [&str; 2] = ["fra", "syd"];

/// The host that the tests run on, with a built component.
pub(crate) fn host() -> Host {
    static ONCE: Once = Once::new();
    let host = Host::from_environment();
    ONCE.call_once(|| {
        host.build_component().unwrap();
        match &host {
            Host::InHouse => say("SPIN is not set: these tests run on the in-house host only"),
            Host::Spin(program) => say(&format!("these tests run on the real Spin at {}", program.display())),
        }
    });
    host
}

/// The same host where names of Fly's private network can be made up for it, or else the in-house host.
pub(crate) fn host_with_private_names() -> Host {
    let host = host();
    if host.knows_private_names() || PrivateNetwork::is_possible() {
        return host;
    }
    say(
        "NOT TESTED ON THE REAL SPIN: private names, which only root can make up in /etc/hosts (in-house host instead)",
    );
    Host::InHouse
}

/// Unlike what `eprintln` prints, this is seen when a test passes.
fn say(what: &str) {
    std::io::stderr().write_all(format!("{what}\n").as_bytes()).unwrap();
}

/// The cluster that tests share, and their turn with it.
pub(crate) struct SharedCluster {
    cluster: Arc<Cluster>,
    _turn: Turn,
}

impl Deref for SharedCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

/// A cluster with replicas for tests that leave it as it is.
pub(crate) async fn shared_cluster() -> SharedCluster {
    SharedCluster { _turn: beside_others().await, cluster: cluster().await }
}

/// It ends with the last test that holds it.
async fn cluster() -> Arc<Cluster> {
    static CLUSTER: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
    let mut slot = CLUSTER.lock().await;
    if let Some(cluster) = slot.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(Cluster::start(&REPLICAS).await.unwrap());
    *slot = Arc::downgrade(&cluster);
    cluster
}

/// A Machine in a region of a cluster.
pub(crate) async fn machine(region: &str, cluster: &Cluster) -> Machine {
    let host = host();
    Machine::start(&host, Setup::in_region(region, cluster, &host)).await.unwrap()
}

/// A Machine without regions, for a URL of the test's own on any port of this machine.
pub(crate) async fn machine_for(url: &str) -> Machine {
    let setup = Setup::default().env("DATABASE_URL", url).env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*");
    Machine::start(&host(), setup).await.unwrap()
}

pub(crate) fn url_of(cluster: &Cluster, parameters: &str) -> String {
    format!("postgres://{USER}@{}/postgres?{parameters}", cluster.primary().address())
}

/// One `GET /` on a connection of its own.
pub(crate) async fn get(machine: &Machine) -> Answer {
    machine.client().await.unwrap().get("/").await.unwrap()
}

#[track_caller]
pub(crate) fn assert_ok(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, r#"{"status":"ok"}"#), "{answer:?}");
}

/// A problem body with its `type` and everything that a problem must have.
#[track_caller]
pub(crate) fn assert_problem(answer: &Answer, status: u16, name: &str) -> serde_json::Value {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string(), "{answer:?}");
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["type"], format!("urn:problem-type:nearest-replica:{name}"), "{body}");
    assert_eq!(body["status"], status, "{body}");
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
    body
}
