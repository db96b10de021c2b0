//! What the servers say of themselves, asked four times a second on connections of our own, around every link.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use host_tests::postgres::Server;
use serde::Serialize;
use tokio::time::{interval, timeout};
use tokio_postgres::Client;

use crate::lab::Lab;

const EVERY: Duration = Duration::from_millis(250);
/// A server that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(1);
/// For how long positions of the primary are kept, to tell a lag in time.
const HISTORY: Duration = Duration::from_secs(180);

/// What a server says, or does not say.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum Health {
    /// There is no process.
    Down,
    /// There is a process, and it does not answer.
    Hanging,
    /// It answers.
    Up(Answer),
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Answer {
    /// Whether it replays, and takes no writes.
    replica: bool,
    /// Nothing where a replica does not stream.
    timeline: Option<i32>,
    /// Its position in the log: what it has replayed, or written.
    #[serde(skip)]
    position: u64,
    /// How much of the primary's log it has not replayed, in bytes.
    behind_bytes: u64,
    /// For how long, in milliseconds.
    behind_ms: u64,
    paused: bool,
    /// Connections of clients, ours not counted.
    connections: i64,
}

/// One server as it was when it was last asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Database {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) health: Health,
}

/// All of them. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Databases(Arc<Mutex<Vec<Database>>>);

impl Databases {
    pub(crate) fn now(&self) -> Vec<Database> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on asking.
    pub(crate) async fn watch(&self, lab: &Lab) {
        let mut observers: Vec<_> = lab.cluster().servers().map(Observer::new).collect();
        let mut primary = Positions::default();
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let healths = futures::future::join_all(observers.iter_mut().map(Observer::ask)).await;
            let leading = lab.cluster().servers().zip(&healths).find_map(|(server, health)| match health {
                Health::Up(answer) if lab.leads(server.name()) && !answer.replica => Some(answer.position),
                Health::Up(_) | Health::Down | Health::Hanging => None,
            });
            primary.note(Instant::now(), leading);
            let servers = lab.cluster().servers().zip(healths);
            let seen = servers.map(|(server, health)| Database {
                name: server.name().to_owned(),
                health: match health {
                    Health::Up(answer) => Health::Up(primary.compare(answer)),
                    other @ (Health::Down | Health::Hanging) => other,
                },
            });
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen.collect();
        }
    }
}

/// Asks one server.
struct Observer<'a> {
    server: &'a Server,
    client: Option<Client>,
}

/// A replica's own control file names an old timeline for a while after a promotion; its receiver does not.
const QUESTION: &str = "SELECT pg_is_in_recovery(), \
     CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver) \
     ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END, \
     (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint, \
     CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END, \
     (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'test')";

impl<'a> Observer<'a> {
    fn new(server: &'a Server) -> Self {
        Self { server, client: None }
    }

    async fn ask(&mut self) -> Health {
        if !self.server.is_running() {
            self.client = None;
            return Health::Down;
        }
        match timeout(PATIENCE, self.answer()).await {
            Ok(Some(answer)) => Health::Up(answer),
            Ok(None) => {
                self.client = None;
                Health::Down
            }
            Err(_) => Health::Hanging,
        }
    }

    /// Nothing where it takes no connection, or ends it.
    async fn answer(&mut self) -> Option<Answer> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = Some(self.server.connect().await.ok()?);
        }
        let row = self.client.as_ref()?.query_one(QUESTION, &[]).await.ok()?;
        Some(Answer {
            replica: row.get(0),
            timeline: row.get(1),
            position: row.get::<_, Option<i64>>(2).and_then(|at| u64::try_from(at).ok()).unwrap_or_default(),
            behind_bytes: 0,
            behind_ms: 0,
            paused: row.get(3),
            connections: row.get(4),
        })
    }
}

/// When the primary was where.
#[derive(Default)]
struct Positions(VecDeque<(Instant, u64)>);

impl Positions {
    fn note(&mut self, now: Instant, position: Option<u64>) {
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > HISTORY) {
            self.0.pop_front();
        }
        let last = self.0.back().map(|(_, position)| *position);
        // A new primary may be behind the one that was lost: then nothing is known any more.
        if position.is_some_and(|position| last.is_some_and(|last| position < last)) {
            self.0.clear();
        }
        // Where it stands still, the first time counts.
        self.0.extend(position.filter(|position| last != Some(*position)).map(|position| (now, position)));
    }

    /// A replica has been behind since the primary wrote the first thing that it has not replayed.
    fn compare(&self, answer: Answer) -> Answer {
        let missing = self.0.iter().find(|(_, position)| answer.replica && *position > answer.position);
        let (Some((since, _)), Some((_, newest))) = (missing, self.0.back()) else { return answer };
        let behind_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Answer { behind_bytes: newest - answer.position, behind_ms, ..answer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(position: u64) -> Answer {
        let (replica, timeline, behind_bytes, behind_ms) = (true, Some(1), 0, 0);
        Answer { replica, timeline, position, behind_bytes, behind_ms, paused: false, connections: 0 }
    }

    #[test]
    fn a_replica_is_behind_since_the_first_thing_that_it_lacks() {
        let Some(start) = Instant::now().checked_sub(Duration::from_secs(60)) else { return };
        let mut primary = Positions::default();
        for (second, position) in [(0, 100), (10, 100), (20, 200), (30, 300)] {
            primary.note(start + Duration::from_secs(second), Some(position));
        }
        assert_eq!(primary.compare(replica(300)), replica(300));
        let behind = primary.compare(replica(150));
        assert_eq!((behind.behind_bytes, behind.behind_ms / 1000), (150, 40));
        let longer = primary.compare(replica(50));
        assert_eq!((longer.behind_bytes, longer.behind_ms / 1000), (250, 60));
    }

    #[test]
    fn a_new_primary_that_lost_something_begins_anew() {
        let mut primary = Positions::default();
        let now = Instant::now();
        primary.note(now, Some(300));
        primary.note(now, Some(250));
        assert_eq!(primary.compare(replica(250)), replica(250));
    }
}
