//! A replica region reads on, whatever happens to its replica, as long as one database can be reached.

use std::time::Duration;

use host_tests::fault::{Fault, FaultProxy};
use host_tests::load::Load;
use host_tests::machine::{Machine, Routes};
use host_tests::postgres::{Cluster, PASSWORD_LOGIN, PASSWORD_USER, USER, ask};
use host_tests::region::{Options, on_private_network};
use host_tests::wait::eventually;
use nix::sys::signal::Signal;

use crate::fixtures::{assert_ok, assert_problem, get, host_with_private_names, machine_for, shared_cluster};
use crate::scenario::{CLIENTS, DEADLINE, Scenario, break_link};
use crate::turn::alone;

const PATIENCE: Duration = Duration::from_secs(20);

async fn a_broken_link(fault: Fault) {
    let scenario = Scenario::new().await;
    let seen =
        scenario.run(async || break_link(&scenario.local, fault).await, async || scenario.local.set(Fault::Pass)).await;
    seen.assert_nobody_noticed(&scenario);
    seen.assert_served_by("configured", "primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_replica_that_refuses_connections() {
    a_broken_link(Fault::Refuse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_replica_that_stalls() {
    a_broken_link(Fault::Stall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_replica_that_stalls_in_the_middle_of_an_answer() {
    a_broken_link(Fault::StallMidResponse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_replica_that_resets_connections() {
    a_broken_link(Fault::Reset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_link_that_is_slower_than_its_time() {
    a_broken_link(Fault::Delay(Duration::from_secs(3))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_dead_replica_when_the_primary_is_on_the_other_side_of_the_world() {
    let scenario = Scenario::new().await;
    let break_both = async || {
        // Each message takes 250 ms there and back; a new connection needs four to six of them.
        scenario.primary.set(Fault::Delay(Duration::from_millis(125)));
        break_link(&scenario.local, Fault::Refuse).await;
    };
    let seen = scenario.run(break_both, async || scenario.local.set(Fault::Pass)).await;
    seen.assert_nobody_noticed(&scenario);
    seen.assert_served_by("configured", "primary");
    assert!(scenario.primary.hits() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_dead_replica_on_the_nearest_other_one() {
    let scenario = Scenario::with_nearest().await;
    let die = async || break_link(&scenario.local, Fault::Refuse).await;
    let seen = scenario.run(die, async || scenario.local.set(Fault::Pass)).await;
    seen.assert_nobody_noticed(&scenario);
    seen.assert_served_by("nearest", "replica");
    assert_eq!(scenario.primary.counts().connections, 0, "the primary was left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_candidate_stands_in_for_those_before_it() {
    let scenario = Scenario::with_nearest().await;
    let nearest = scenario.nearest.as_ref().unwrap();
    let answered_by = async |candidate: &str, role: &str| {
        let answer = get(&scenario.machine).await;
        assert_ok(&answer);
        assert_eq!((answer.header("database-candidate"), answer.header("database-role")), (candidate, role));
    };
    answered_by("local", "replica").await;
    break_link(&scenario.local, Fault::Refuse).await;
    answered_by("nearest", "replica").await;
    break_link(nearest, Fault::Refuse).await;
    answered_by("configured", "primary").await;
    assert!(scenario.local.counts().connections > 0 && nearest.counts().connections > 0, "each by its own name");
    for proxy in [&scenario.local, nearest] {
        proxy.set(Fault::Pass);
    }
    scenario.wait_for_home("home again by itself").await.unwrap();
    scenario.assert_no_secret();
}

/// Two quarters are a half; an equal share for each candidate would be two thirds.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_candidate_takes_a_quarter_of_the_deadline_at_most() {
    let scenario = Scenario::with_nearest().await;
    let nearest = scenario.nearest.as_ref().unwrap();
    for proxy in [&scenario.local, nearest] {
        proxy.set(Fault::Stall);
    }
    let answer = get(&scenario.machine).await;
    assert_ok(&answer);
    assert_eq!((answer.header("database-candidate"), answer.header("database-role")), ("configured", "primary"));
    assert!(scenario.local.hits() > 0 && nearest.hits() > 0, "the faults are in force");
    assert!(answer.took < DEADLINE * 5 / 8, "{answer:?}");
    scenario.wait_for_log("tried=\"local: timed-out: no answer in time; nearest: timed-out: no answer in time\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_is_used_as_long_as_it_answers_in_time() {
    let scenario = Scenario::new().await;
    let slow = Fault::Delay(Duration::from_millis(50));
    let seen =
        scenario.run(async || break_link(&scenario.local, slow).await, async || scenario.local.set(Fault::Pass)).await;
    seen.assert_nobody_noticed(&scenario);
    assert_eq!(scenario.fall_backs(), 0);
    assert!(seen.during().iter().all(|sample| sample.served_by.1 == "replica"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_the_death_of_its_replica() {
    let scenario = Scenario::new().await;
    let die = async || {
        scenario.fra().end(Signal::SIGKILL).unwrap();
        assert!(!scenario.fra().is_running());
    };
    let seen = scenario.run(die, async || scenario.fra().start().await.unwrap()).await;
    seen.assert_nobody_noticed(&scenario);
    seen.assert_served_by("configured", "primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_replica_that_hangs() {
    let scenario = Scenario::new().await;
    let hang = async || {
        scenario.fra().signal_all(Signal::SIGSTOP).unwrap();
        let silent = tokio::time::timeout(Duration::from_millis(500), scenario.fra().connect()).await;
        assert!(silent.is_err(), "it still talks");
    };
    let seen = scenario.run(hang, async || scenario.fra().signal_all(Signal::SIGCONT).unwrap()).await;
    seen.assert_nobody_noticed(&scenario);
    seen.assert_served_by("configured", "primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_the_restart_of_its_replica() {
    let scenario = Scenario::new().await;
    let restart = async || {
        scenario.fra().end(Signal::SIGINT).unwrap();
        assert!(!scenario.fra().is_running());
        scenario.fra().start().await.unwrap();
    };
    let seen = scenario.run(restart, async || {}).await;
    seen.assert_nobody_noticed(&scenario);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_replica_that_is_still_starting_up() {
    let scenario = Scenario::new().await;
    let start_slowly = async || {
        // Without hot standby a replica says 57P03 for as long as it recovers.
        scenario.fra().configure(&[("hot_standby", "off")]).unwrap();
        scenario.fra().end(Signal::SIGINT).unwrap();
        scenario.fra().spawn().unwrap();
        let refused = eventually(PATIENCE, "57P03", async || {
            let error = scenario.fra().connect().await.err()?;
            let error = error.downcast_ref::<tokio_postgres::Error>()?;
            (error.code()?.code() == "57P03").then_some(())
        });
        refused.await.unwrap();
    };
    let come_up = async || {
        scenario.fra().configure(&[("hot_standby", "on")]).unwrap();
        scenario.fra().end(Signal::SIGINT).unwrap();
        scenario.fra().start().await.unwrap();
    };
    let seen = scenario.run(start_slowly, come_up).await;
    seen.assert_nobody_noticed(&scenario);
    seen.assert_served_by("configured", "primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_replica_that_is_out_of_connections() {
    // Few enough to take them all, and enough for the idle connections that Spin's pools keep: local and nearest are the
    // same server here, and each has two pools.
    const MOST: usize = 100;
    let few = [("max_connections", &*MOST.to_string()), ("superuser_reserved_connections", "3")];
    let scenario = Scenario::with(Options { settings: &few, ..Options::default() }).await;
    let (taken, mut kills) = (tokio::sync::Mutex::new(Vec::new()), 0);
    let fill = async || {
        let kill =
            format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{PASSWORD_USER}'");
        let full = eventually(PATIENCE, "all connections to be taken", async || {
            let mut taken = taken.lock().await;
            // As superuser, so that the last of them are ours as well.
            while let Ok(client) = scenario.fra().connect().await {
                taken.push(client);
            }
            if taken.len() == MOST {
                return Some(());
            }
            kills += usize::from(ask(taken.first()?, &kill).await.ok()? != "0");
            None
        });
        full.await.unwrap();
    };
    let seen = scenario.run(fill, async || taken.lock().await.clear()).await;
    seen.assert_nobody_noticed_any_of(kills, &scenario);
    seen.assert_served_by("configured", "primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_when_the_replica_is_promoted_and_it_is_logged_as_what_it_is() {
    let scenario = Scenario::new().await;
    let promote = async || {
        assert_eq!(scenario.fra().ask("SELECT pg_promote()").await.unwrap(), "t");
        assert_eq!(scenario.fra().ask("SELECT pg_is_in_recovery()").await.unwrap(), "f");
    };
    let seen = scenario.run(promote, async || {}).await;
    seen.assert_nobody_noticed(&scenario);
    assert!(seen.during().iter().all(|sample| sample.served_by.1 == "primary"));
    let logs = scenario.machine.logs();
    assert!(logs.contains("event=unexpected-role region=fra candidate="), "{logs}");
    // Once for each instance, which takes 128 requests at most.
    let (said, requests) = (logs.matches("event=unexpected-role").count(), seen.report.samples.len());
    assert!(said <= requests / 8, "{said} times for {requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_reads_on_without_its_primary_whose_own_region_is_told_within_the_deadline() {
    let scenario = Scenario::new().await;
    let die = async || {
        scenario.cluster.primary().end(Signal::SIGKILL).unwrap();
        assert!(!scenario.cluster.primary().is_running());
    };
    let seen = scenario.run(die, async || {}).await;
    seen.assert_nobody_noticed(&scenario);
    assert_eq!(scenario.fall_backs(), 0);
    assert!(seen.during().iter().all(|sample| sample.served_by.1 == "replica"));

    // And with the replica gone too, the answer is a problem, in time, without a word too much.
    break_link(&scenario.local, Fault::Refuse).await;
    let answer = get(&scenario.machine).await;
    let body = assert_problem(&answer, 503, "database-unavailable");
    assert!(answer.took < DEADLINE, "{answer:?}");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(body["tried"].as_array().unwrap().len() >= 2, "{body}");
    for private in ["127.0.0.1", "internal", "flycast", PASSWORD_USER] {
        assert!(!answer.body.contains(private), "{body}");
    }
    scenario.assert_no_secret();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_cluster_is_a_503_within_the_deadline() {
    let scenario = Scenario::new().await;
    for proxy in [&scenario.local, &scenario.primary] {
        proxy.set(Fault::Stall);
    }
    let answers = futures::future::join_all((0..CLIENTS).map(|_| get(&scenario.machine))).await;
    assert!(scenario.local.hits() > 0 && scenario.primary.hits() > 0, "the faults are in force");
    for answer in answers {
        let body = assert_problem(&answer, 503, "database-unavailable");
        assert!(answer.took < DEADLINE, "{answer:?}");
        let errors = body["tried"].as_array().unwrap();
        assert!(errors.iter().all(|tried| tried["error"] == "timed-out"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives_a_region_without_a_replica() {
    let host = host_with_private_names();
    let cluster = shared_cluster().await;
    // No `fra.db.internal`; the nearest Machine of the cluster is in Sydney.
    let routes = Routes {
        configured: cluster.primary().address(),
        local: cluster.primary().address(),
        nearest: Some(cluster.server("syd").address()),
        private: Vec::new(),
    };
    let (setup, _network) = on_private_network("fra", PASSWORD_LOGIN, &routes, &host).await.unwrap();
    let machine = Machine::start(&host, setup).await.unwrap();
    for _ in 0..3 {
        let answer = get(&machine).await;
        assert_ok(&answer);
        assert_eq!((answer.header("database-candidate"), answer.header("database-role")), ("nearest", "replica"));
    }
    // Where the host asks the machine's own resolver, that may be slow to say that there is no such name.
    let reasons = ["local: unreachable: ", "local: timed-out: "];
    let logged = eventually(PATIENCE, "the log line", async || {
        reasons.iter().any(|reason| machine.logs().contains(reason)).then_some(())
    });
    logged.await.unwrap();
    if host.knows_private_names() {
        assert!(machine.logs().contains("lookup"), "the name did not resolve: {}", machine.logs());
    }
}

/// Half of the deadline is for the first connection, the other half for another one. Neither is there in time by itself:
/// without the first, which goes on meanwhile, each request would begin anew and none would ever be answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_takes_longer_than_half_the_deadline_is_used_when_it_is_there() {
    let _alone = alone().await;
    let cluster = Cluster::start(&[]).await.unwrap();
    let link = FaultProxy::before(cluster.primary().address()).await.unwrap();
    link.set(Fault::SlowOpen(DEADLINE * 3 / 5));
    let machine = machine_for(&format!("postgres://{USER}@{}/postgres", link.address())).await;
    let load = Load::default();
    let script = async {
        let answered = eventually(PATIENCE, "answers", async || (load.answered() > 10 * CLIENTS).then_some(()));
        answered.await.unwrap();
        load.stop();
    };
    let (report, ()) = futures::join!(load.run(machine.address(), CLIENTS), script);
    report.unwrap().all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(link.hits() > 0, "the connections were slow");
}
