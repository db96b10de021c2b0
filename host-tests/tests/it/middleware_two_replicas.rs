//! The middleware and the adapter where there are two replicas, of which the second lags, and connections to the first end all
//! the time: no user reads anything older than what they have written.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use host_tests::machine::{Machine, Routes, Setup};
use host_tests::postgres::{PRIMARY, USER};
use host_tests::region::on_private_network;

use crate::adapted::{Adapted, App, PLACE, on, outcomes, values};
use crate::fixtures::host_with_private_names;
use crate::middleware::User;

const USERS: usize = 6;
const LENGTH: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_second_replica_that_lags_shows_no_user_an_older_row() {
    let host = host_with_private_names();
    let adapted = Adapted::on(host.clone()).await;
    let cluster = &adapted.cluster;
    let (fra_server, syd) = (cluster.server("fra"), cluster.server("syd"));
    let servers = [("fra", fra_server), (PRIMARY, cluster.primary())];
    let routes = Routes {
        configured: cluster.primary().address(),
        local: fra_server.address(),
        nearest: Some(syd.address()),
        private: servers.map(|(region, server)| (region.to_owned(), server.address())).into(),
    };
    let (fra, _network) = on_private_network("fra", USER, &routes, &host).await.unwrap();
    let start = async |setup: Setup| {
        let setup = Setup { manifest: Some(App::WithBoth.manifest()), ..setup };
        Machine::start(&host, setup).await.unwrap()
    };
    let fra = start(fra).await;
    let sjc = start(Setup::with_private_names(PRIMARY, USER, &routes)).await;
    syd.pause_replay().await.unwrap();

    let (stopped, at_home, ended) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let user = async |number: usize| {
        let (mut user, mut written, mut stale) = (User::default(), 0_u64, Vec::new());
        let mine = format!("SELECT count(*) FROM notes WHERE note LIKE 'user {number} %'");
        while !stopped.load(Ordering::Relaxed) {
            let answer = user.write(sjc.address(), &format!("user {number} {written}")).await;
            assert_eq!(outcomes(&answer.body)[0].count, 1, "{answer:?}");
            written += 1;
            for _ in 0..4 {
                let answer = user.read(fra.address(), &[on(0, PLACE), on(0, &mine), on(1, PLACE), on(1, &mine)]).await;
                // It belongs in the primary region.
                if !answer.header("fly-replay").is_empty() {
                    continue;
                }
                assert_eq!(answer.status, 200, "{answer:?}");
                for pair in outcomes(&answer.body).chunks(2) {
                    // A connection may also end between a row and its end.
                    if pair.iter().any(|outcome| outcome.error.is_some()) {
                        continue;
                    }
                    let [place, count] = values(pair)[..] else { unreachable!("they are pairs") };
                    let count = count.parse::<u64>().unwrap();
                    at_home.fetch_add(usize::from(place == "fra"), Ordering::Relaxed);
                    if count < written {
                        stale.push(format!("user {number} has written {written}, and {place} shows {count}"));
                    }
                }
            }
        }
        stale
    };
    let end_connections = async {
        let end_all = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity \
                       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let began = tokio::time::Instant::now();
        while began.elapsed() < LENGTH {
            let count = fra_server.ask(end_all).await.unwrap();
            ended.fetch_add(count.parse().unwrap(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stopped.store(true, Ordering::Relaxed);
    };
    let (stale, ()) = futures::join!(join_all((0..USERS).map(user)), end_connections);
    let stale = stale.concat();
    let (at_home, ended) = (at_home.into_inner(), ended.into_inner());
    println!("{at_home} reads at home, {ended} connections were ended");
    assert!(at_home >= 50 && ended >= 50, "{at_home} reads at home, {ended} connections were ended");
    assert!(stale.is_empty(), "{} reads are stale: {:#?}", stale.len(), &stale[..stale.len().min(5)]);
}
