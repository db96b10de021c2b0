//! A read that answers from the best database that can: one deadline, retries, fall-back and the way home.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use spin_sdk::wit_bindgen::spawn;

use crate::candidates::{Candidate, Kind, Role, candidates, why_no_replica};
use crate::config::Config;
use crate::failure::{Advice, Failure};
use crate::health::{Health, State};
use crate::lease::{Origin, Shared};
use crate::log;
use crate::pg::{Connection, DbValue, ParameterValue, Rows};
use crate::within::within;

/// The statement that proves that a database answers and tells its role.
pub const ROLE: &str = "SELECT pg_is_in_recovery()";

/// How often a read is tried again on the last candidate, where there is nowhere else to go. On the others it is once.
const LAST_RETRIES: u32 = 3;

/// What an answered read brought.
#[derive(Debug)]
pub struct Answer {
    /// The rows of the statement.
    pub rows: Rows,
    /// The candidate that gave them.
    pub kind: Kind,
    /// What failed before, in order.
    pub tried: Vec<Attempt>,
}

/// One candidate that did not answer.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which candidate.
    pub kind: Kind,
    /// Why not.
    pub failure: Failure,
}

/// Nobody answered. All attempts are kept, in order; the last one decides what it is.
#[derive(Clone, Debug)]
pub struct NoAnswer {
    /// What was tried; never empty.
    pub tried: Vec<Attempt>,
}

impl Answer {
    /// What failed before, for the log.
    #[must_use]
    pub fn describe(&self) -> String {
        describe(&self.tried)
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(&self.tried))
    }
}

impl std::error::Error for NoAnswer {}

fn describe(tried: &[Attempt]) -> String {
    let one = |attempt: &Attempt| format!("{}: {}: {}", attempt.kind, attempt.failure.class(), attempt.failure);
    tried.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Reads for one [`Config`], for as long as the instance lives.
pub struct Reader {
    config: Config,
    targets: Vec<Target>,
}

struct Target {
    candidate: Candidate,
    shared: Shared,
    health: Health,
    /// Whether an unexpected role was logged already.
    surprised: Cell<bool>,
}

impl Reader {
    /// Works out the candidates, logs once where there can be no replica, and asks what other instances have learnt.
    pub async fn new(config: Config) -> Rc<Self> {
        if let Some(why) = why_no_replica(&config) {
            log::line("no-replica", &config, &[("reason", &why)]);
        }
        let targets = candidates(&config).into_iter().map(|candidate| Target {
            shared: Shared::default(),
            health: Health::new(&candidate.url),
            surprised: Cell::new(false),
            candidate,
        });
        let reader = Self { targets: targets.collect(), config };
        if reader.targets.len() > 1 {
            // At once, so that it costs no more than the slowest.
            join_all(reader.targets.iter().map(|target| target.health.learn())).await;
        }
        Rc::new(reader)
    }

    /// The configuration it was made for.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Runs a read-only statement on the best database that answers before the deadline, which starts now.
    ///
    /// # Errors
    /// When no candidate answered, or when the statement itself is at fault.
    pub async fn read(self: &Rc<Self>, statement: &str, params: &[ParameterValue]) -> Result<Answer, NoAnswer> {
        let started = Instant::now();
        // What is left of the deadline is for Spin and the way back to the client.
        let end = started + self.config.deadline.mul_f64(0.95);
        let order = self.order(started);
        let mut tried = Vec::new();
        for (position, &target) in order.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            // Those before the last are near, or should be: they have less to do than it takes to go around the world.
            let last = position + 1 == order.len();
            let (share, retries) = if last { (left, LAST_RETRIES) } else { (left.min(self.config.deadline / 4), 1) };
            let outcome = self.attempt(target, statement, params, share, retries).await;
            let kind = target.candidate.kind;
            match outcome {
                Ok(rows) => {
                    target.health.answered();
                    return Ok(Answer { rows, kind, tried });
                }
                Err(failure) => {
                    let advice = failure.advice();
                    tried.push(Attempt { kind, failure });
                    match advice {
                        Advice::Again | Advice::Next => target.health.failed(Instant::now()),
                        Advice::Stop => break,
                    }
                }
            }
        }
        Err(NoAnswer { tried })
    }

    /// The role of the database that answered, with the answer.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn role(self: &Rc<Self>) -> Result<(Role, Answer), NoAnswer> {
        let answer = self.read(ROLE, &[]).await?;
        match role(&answer.rows) {
            Ok(role) => {
                self.notice(answer.kind, role);
                Ok((role, answer))
            }
            Err(failure) => Err(NoAnswer { tried: vec![Attempt { kind: answer.kind, failure }] }),
        }
    }

    /// The healthy candidates and then the others; those whose rest is over are probed behind the request's back.
    fn order(self: &Rc<Self>, now: Instant) -> Vec<&Target> {
        if let [only] = self.targets.as_slice() {
            return vec![only];
        }
        let mut healthy = Vec::with_capacity(self.targets.len());
        let mut resting = Vec::new();
        for (index, target) in self.targets.iter().enumerate() {
            match target.health.state(now) {
                State::Healthy => healthy.push(target),
                State::Resting => resting.push(target),
                State::ProbeDue => {
                    resting.push(target);
                    spawn(Self::probe(Rc::clone(self), index));
                }
            }
        }
        healthy.append(&mut resting);
        healthy
    }

    async fn probe(self: Rc<Self>, index: usize) {
        let target = &self.targets[index];
        if target.health.learn().await {
            return;
        }
        target.health.claim().await;
        let probe = async {
            let connection = Connection::open(&target.candidate.url).await?;
            connection.query(ROLE, &[]).await
        };
        let outcome = within(self.config.deadline / 4, probe).await.unwrap_or(Err(Failure::TimedOut));
        match outcome {
            Ok(_) => {
                target.health.answered();
                log::line("back", &self.config, &[("candidate", &target.candidate.kind)]);
            }
            Err(_) => target.health.failed(Instant::now()),
        }
    }

    /// One candidate: the shared connection, and fresh ones where they may help.
    async fn attempt(
        &self,
        target: &Target,
        statement: &str,
        params: &[ParameterValue],
        share: Duration,
        mut retries: u32,
    ) -> Result<Rows, Failure> {
        let end = Instant::now() + share;
        let mut first = true;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let once = self.once(target, statement, params, left, first);
            let (failure, origin) = match within(left, once).await {
                Some(Ok(rows)) => return Ok(rows),
                Some(Err(failed)) => failed,
                None => return Err(Failure::TimedOut),
            };
            let stuck = failure == Failure::TimedOut && origin == Some(Origin::Joined);
            if retries == 0 || !(stuck || failure.advice() == Advice::Again) {
                return Err(failure);
            }
            retries -= 1;
            first = false;
        }
    }

    async fn once(
        &self,
        target: &Target,
        statement: &str,
        params: &[ParameterValue],
        left: Duration,
        first: bool,
    ) -> Result<Rows, (Failure, Option<Origin>)> {
        let acquired = target.shared.acquire(&target.candidate.url, self.config.lease).await;
        let (lease, origin) = acquired.map_err(|failure| (failure, None))?;
        let mut guard = GiveUp(Some(&lease));
        let query = lease.connection().query(statement, params);
        // A connection that others use may be stuck behind their statement: leave time for another one.
        let outcome = if first && origin == Origin::Joined {
            within(left / 2, query).await.unwrap_or(Err(Failure::TimedOut))
        } else {
            query.await
        };
        match outcome {
            Ok(rows) => {
                guard.0 = None;
                Ok(rows)
            }
            Err(failure) => Err((failure, Some(origin))),
        }
    }

    /// Logs a database that is not what its place says, once per instance.
    fn notice(&self, kind: Kind, role: Role) {
        let target = self.targets.iter().find(|target| target.candidate.kind == kind);
        if let Some(target) = target
            && target.candidate.expected != role
            && !target.surprised.replace(true)
        {
            let expected = target.candidate.expected;
            log::line(
                "unexpected-role",
                &self.config,
                &[("candidate", &kind), ("role", &role), ("expected", &expected)],
            );
        }
    }
}

/// Gives a connection up unless the statement on it went well, also when the statement is abandoned.
struct GiveUp<'a>(Option<&'a crate::lease::Lease>);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.0 {
            lease.give_up();
        }
    }
}

fn role(rows: &Rows) -> Result<Role, Failure> {
    match rows.first().and_then(|row| row.first()) {
        Some(DbValue::Boolean(true)) => Ok(Role::Replica),
        Some(DbValue::Boolean(false)) => Ok(Role::Primary),
        other => Err(Failure::Unusable(format!("pg_is_in_recovery() answered {other:?}"))),
    }
}
