//! A read that answers from the best database that can: one deadline, retries, fall-back and the way home.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};

use crate::candidates::{Candidate, Kind, Role, candidates, why_no_replica};
use crate::config::Config;
use crate::database_url::DatabaseUrl;
use crate::failure::{Advice, Failure};
use crate::health::{Health, REST, State};
use crate::lease::{Origin, Shared};
use crate::log;
use crate::pg::{Connection, ParameterValue, Rows};
use crate::pulse::{until, within};
use crate::wake::beside;

/// The statement that proves that a database answers, and tells its role by the number of its rows: one where it is a
/// replica, none where it is not.
const ROLE: &str = "SELECT 1 WHERE pg_is_in_recovery()";

/// How often a read is tried again on the main candidate, behind which there is little hope. On the others it is once.
const MAIN_RETRIES: u32 = 3;

/// What an answered read brought.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was read.
    pub value: T,
    /// The candidate that gave it.
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

impl<T> Answer<T> {
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

/// The type that wit-bindgen's own executor has, so that the code for it is there once.
type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Target {
    candidate: Candidate,
    /// For a connection out of another pool than the shared one.
    spare: DatabaseUrl,
    shared: Shared,
    health: Health,
    /// Whether an unexpected role was logged already.
    surprised: Cell<bool>,
}

impl Reader {
    /// Works out the candidates, and asks what other instances have learnt.
    pub async fn new(config: Config) -> Rc<Self> {
        let targets = candidates(&config).into_iter().map(|candidate| Target {
            shared: Shared::default(),
            health: Health::new(&candidate.url),
            surprised: Cell::new(false),
            spare: candidate.url.clone().respelled(),
            candidate,
        });
        let reader = Self { targets: targets.collect(), config };
        if reader.targets.len() > 1 {
            // At once, so that it costs no more than the slowest.
            let learning = reader.targets.iter().map(|target| -> Task<'_> { Box::pin(target.health.learn()) });
            learning.collect::<FuturesUnordered<_>>().collect::<()>().await;
        }
        Rc::new(reader)
    }

    /// Logs why there can be no replica, where that is so.
    pub fn announce(&self) {
        if let Some(why) = why_no_replica(&self.config) {
            log::line("no-replica", &self.config, &[("reason", &why)]);
        }
    }

    /// The configuration it was made for.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Runs a read-only statement on the best database that answers before the deadline, which counts from `started`:
    /// the moment at which the request came in.
    ///
    /// # Errors
    /// When no candidate answered, or when the statement itself is at fault.
    pub async fn read(
        self: &Rc<Self>,
        started: Instant,
        statement: &str,
        params: &[ParameterValue],
    ) -> Result<Answer<Rows>, NoAnswer> {
        self.answer(started, async |connection: &Connection| connection.query(statement, params).await).await
    }

    /// The role of the best database that answers before the deadline, as in [`Reader::read`].
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn role(self: &Rc<Self>, started: Instant) -> Result<Answer<Role>, NoAnswer> {
        let answer = self.answer(started, role).await?;
        self.notice(answer.kind, answer.value);
        Ok(answer)
    }

    async fn answer<T>(
        self: &Rc<Self>,
        started: Instant,
        run: impl AsyncFn(&Connection) -> Result<T, Failure>,
    ) -> Result<Answer<T>, NoAnswer> {
        // What is left of the deadline is for Spin and the way back to the client.
        let end = started + self.config.deadline * 9 / 10;
        let (order, main) = self.order().await;
        let mut tried = Vec::new();
        for (position, &target) in order.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let kind = target.candidate.kind;
            if left.is_zero() {
                // Nothing is known against those that there was no time for.
                if tried.is_empty() {
                    tried.push(Attempt { kind, failure: Failure::TimedOut });
                }
                break;
            }
            let share = if position != main {
                // It is near, or should be, or it failed a moment ago.
                left.min(self.config.deadline / 4)
            } else if position + 1 < order.len() {
                left * 3 / 4
            } else {
                left
            };
            let outcome = self.attempt(target, &run, share, position == main).await;
            match outcome {
                Ok(value) => {
                    target.health.answered().await;
                    return Ok(Answer { value, kind, tried });
                }
                Err(failure) => {
                    let advice = failure.advice();
                    tried.push(Attempt { kind, failure });
                    match advice {
                        Advice::Again | Advice::Next => target.health.failed().await,
                        Advice::Stop => break,
                    }
                }
            }
        }
        Err(NoAnswer { tried })
    }

    /// The healthy candidates and then the others, and the position of the main one: the last that is worth most of the
    /// time. Those whose rest is over are probed behind the request's back, unless others know already.
    async fn order(self: &Rc<Self>) -> (Vec<&Target>, usize) {
        if let [only] = self.targets.as_slice() {
            return (vec![only], 0);
        }
        let mut healthy = Vec::with_capacity(self.targets.len());
        let mut resting = Vec::new();
        for (index, target) in self.targets.iter().enumerate() {
            if target.health.state(Instant::now()) == State::Unsure {
                target.health.learn().await;
                if target.health.begin_probe(Instant::now()) {
                    beside(Self::probe(Rc::clone(self), index)).await;
                }
            }
            match target.health.state(Instant::now()) {
                State::Healthy => healthy.push(target),
                State::Resting | State::Unsure => resting.push(target),
            }
        }
        let main = if healthy.is_empty() { resting.len() } else { healthy.len() } - 1;
        healthy.append(&mut resting);
        (healthy, main)
    }

    async fn probe(self: Rc<Self>, index: usize) {
        let target = &self.targets[index];
        target.health.claim().await;
        let probe = async { role(&Connection::open(&target.spare).await?).await };
        let outcome = within(REST.min(self.config.deadline / 4), probe).await.unwrap_or(Err(Failure::TimedOut));
        match outcome {
            Ok(_) => {
                target.health.answered().await;
                log::line("back", &self.config, &[("candidate", &target.candidate.kind)]);
            }
            Err(_) => target.health.failed().await,
        }
    }

    /// One candidate: the shared connection, and fresh ones where they may help.
    async fn attempt<T>(
        &self,
        target: &Target,
        run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
        share: Duration,
        main: bool,
    ) -> Result<T, Failure> {
        let end = Instant::now() + share;
        let mut retries = if main { MAIN_RETRIES } else { 1 };
        let mut connection = Use::Shared;
        loop {
            let outcome = match connection {
                Use::Shared => self.on_shared(target, run, end, main).await,
                Use::Own => until(end, on_own(target, run)).await.unwrap_or(Err(OUT_OF_TIME)),
            };
            let (failure, next) = match outcome {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            match next {
                Some(next) if retries > 0 && Instant::now() < end => connection = next,
                Some(_) | None => return Err(failure),
            }
            retries -= 1;
        }
    }

    async fn on_shared<T>(
        &self,
        target: &Target,
        run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
        end: Instant,
        main: bool,
    ) -> Result<T, (Failure, Option<Use>)> {
        let acquiring = target.shared.acquire(&target.candidate.url, self.config.lease);
        // Spin's pool may hand out a connection on which a statement is stuck, and waits for it.
        let acquired = until(if main { halfway_to(end) } else { end }, acquiring).await.ok_or(OUT_OF_TIME)?;
        let (lease, origin) = acquired.map_err(|failure| (failure, None))?;
        let mut guard = GiveUp(Some(&lease));
        let patience = match origin {
            Origin::Opened => end,
            // It may be stuck behind the statement of another request: leave time for a connection of our own.
            Origin::Joined => halfway_to(end),
        };
        let began = Instant::now();
        let outcome = until(patience, run(lease.connection())).await.ok_or(OUT_OF_TIME)?;
        let value = outcome.map_err(retry)?;
        guard.0 = None;
        if origin == Origin::Opened {
            Rc::clone(&lease).keep(began.elapsed()).await;
        }
        Ok(value)
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

/// Which connection a statement runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// The one that the requests of the instance share.
    Shared,
    /// One that nobody else waits on, out of a pool without a past.
    Own,
}

fn halfway_to(end: Instant) -> Instant {
    end - end.saturating_duration_since(Instant::now()) / 2
}

/// Nothing came back in time: if there is some left, it is for a connection that nobody else waits on.
const OUT_OF_TIME: (Failure, Option<Use>) = (Failure::TimedOut, Some(Use::Own));

async fn on_own<T>(
    target: &Target,
    run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
) -> Result<T, (Failure, Option<Use>)> {
    let value = async { run(&Connection::open(&target.spare).await?).await };
    value.await.map_err(retry)
}

/// On what a statement should be tried again; a slow one not in the way of others.
fn retry(failure: Failure) -> (Failure, Option<Use>) {
    let next = match failure.advice() {
        Advice::Again if failure.is_slow() => Some(Use::Own),
        Advice::Again => Some(Use::Shared),
        Advice::Next | Advice::Stop => None,
    };
    (failure, next)
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

async fn role(connection: &Connection) -> Result<Role, Failure> {
    match connection.execute(ROLE, &[]).await? {
        0 => Ok(Role::Primary),
        1 => Ok(Role::Replica),
        rows => Err(Failure::Unusable(format!("{ROLE} has brought {rows} rows"))),
    }
}
