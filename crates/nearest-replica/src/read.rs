//! A read that answers from the best database that can: one deadline, retries, fall-back, and back to the replica when it
//! answers again.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};

use crate::instance::signal::spawn_detached;
use crate::instance::target::{Looking, Target, Time};
use crate::instance::timer::timeout;
use crate::log;
use crate::outcome::{Answer, Attempt, NoAnswer};
use crate::rules::breaker::{COOL_DOWN, State};
use crate::rules::budget::Place;
use crate::rules::candidates::{CandidateKind, candidates};
use crate::rules::config::Config;
use crate::rules::database_url::DatabaseUrl;
use crate::rules::failure::Failure;
use crate::rules::reason::Reason;
use crate::rules::recovery::{Blame, Recovery};
use crate::rules::sqlstate::SqlState;
use crate::spin::postgres::Connection;

/// Reads for one [`Config`], for as long as the instance lives.
pub(crate) struct Reader {
    pub(crate) config: Config,
    pub(crate) targets: Vec<Target>,
    /// `DATABASE_URL` as it was given, for writes.
    pub(crate) write_url: DatabaseUrl,
    /// The same with a pool of its own for transactions.
    pub(crate) transaction_url: DatabaseUrl,
    /// Whether it was logged already that a database does not say how far its log is.
    pub(crate) no_bookmarks_logged: Cell<bool>,
    /// Whether it was logged already that Spin refuses to connect.
    pub(crate) not_permitted_logged: Cell<bool>,
    /// When a detour was logged last.
    pub(crate) detour_logged: Cell<Option<Instant>>,
}

/// Where a read may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// On the best candidate that answers.
    Any,
    /// On the replica that reads are from now: the first that is not known to be dead, and no other.
    Replica,
    /// On `DATABASE_URL` as it was given.
    Primary,
}

/// The type that wit-bindgen's own executor has, so that the code for it is there once.
type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl Reader {
    /// Works out the candidates, and asks what other instances know about them.
    pub(crate) async fn new(config: Config) -> Rc<Self> {
        let targets: Vec<_> = candidates(&config).into_iter().map(Target::new).collect();
        if targets.len() > 1 {
            // All at once, so that it takes no longer than the slowest.
            let refreshes = targets.iter().map(|target| -> Task<'_> { Box::pin(target.breaker.refresh()) });
            refreshes.collect::<FuturesUnordered<_>>().collect::<()>().await;
        }
        let given = targets.last().expect("there is always the given URL").candidate.url.clone();
        // What may still happen after a time-out ends with it, also where the user has other `options`.
        let write_url = match config.statement_timeout {
            Some(timeout) => given.with_default_setting("statement_timeout", &timeout.as_millis().to_string()),
            None => given,
        };
        let transaction_url = for_transactions(&write_url, config.deadline);
        Rc::new(Self {
            config,
            targets,
            write_url,
            transaction_url,
            no_bookmarks_logged: Cell::new(false),
            not_permitted_logged: Cell::new(false),
            detour_logged: Cell::new(None),
        })
    }

    /// Runs a statement on the best database that answers until `end`.
    ///
    /// # Errors
    /// When no candidate answered, or when the statement itself is at fault, which only the primary may say: a replica may
    /// not have replayed what it needs.
    pub(crate) async fn answer<T>(
        self: &Rc<Self>,
        end: Instant,
        scope: Scope,
        run: impl AsyncFn(CandidateKind, &Connection) -> Result<T, Failure>,
    ) -> Result<Answer<T>, NoAnswer> {
        let attempt = async |target: &Target, time| {
            let run = async |connection: &Connection| run(target.candidate.kind, connection).await;
            target.attempt(&run, time, self.config.lease).await
        };
        self.first_that_answers(end, scope, attempt).await
    }

    /// Answers by an attempt of the caller's own, which is told how long it may take.
    ///
    /// # Errors
    /// As [`Reader::answer`].
    pub(crate) async fn first_that_answers<T>(
        self: &Rc<Self>,
        end: Instant,
        scope: Scope,
        attempt: impl AsyncFn(&Target, Time) -> Result<T, Failure>,
    ) -> Result<Answer<T>, NoAnswer> {
        let (order, main) = match scope {
            Scope::Any => self.order().await,
            Scope::Replica => {
                let is_replica = |target: &&Target| target.candidate.kind != CandidateKind::Configured;
                let (order, _) = self.order().await;
                let first = order.into_iter().find(|target| is_replica(target) && target.breaker.is_closed());
                (first.into_iter().collect(), 0)
            }
            Scope::Primary => (vec![self.primary()], 0),
        };
        // A replica that is the only one to be asked has no more time than with others behind it.
        let count = if scope == Scope::Replica { self.targets.len() } else { order.len() };
        let mut tried: Vec<Attempt> = Vec::new();
        let mut scope = scope;
        for (position, &target) in order.iter().enumerate() {
            let began = Instant::now();
            let left = end.saturating_duration_since(began);
            let kind = target.candidate.kind;
            if scope == Scope::Primary && kind != CandidateKind::Configured {
                continue;
            }
            if left.is_zero() {
                // Nothing is known against those that there was no time for.
                if tried.is_empty() {
                    tried.push(Attempt { kind, failure: Failure::TimedOut });
                }
                break;
            }
            let place = Place::of(position, main, count);
            let silence = place.time(left, self.config.deadline);
            match attempt(target, Time { began, end, silence, place }).await {
                Ok(value) => {
                    target.breaker.record_success().await;
                    let is_first = std::ptr::eq(target, &self.targets[0]);
                    let reason = match tried.last() {
                        Some(attempt) => Reason::after(&attempt.failure),
                        None => Reason::of(kind, is_first, &self.config.placement),
                    };
                    return Ok(Answer { value, kind, reason, tried });
                }
                Err(failure) => {
                    // A request whose own time is over says nothing against a database.
                    let in_time = Instant::now() < end;
                    match Blame::after(&failure) {
                        Blame::Database if in_time => target.breaker.record_failure().await,
                        Blame::Connection if in_time => self.look_at(target).await,
                        Blame::Database | Blame::Connection | Blame::Nobody => {}
                    }
                    let is_cancelled = failure.sqlstate() == Some(SqlState::QUERY_CANCELED);
                    let is_unsent = matches!(failure, Failure::NotSent(_));
                    let recovery = Recovery::after(&failure);
                    tried.push(Attempt { kind, failure });
                    match recovery {
                        Recovery::Fail if is_unsent => break,
                        Recovery::Fail => scope = Scope::Primary,
                        // It may take as long on the next replica.
                        Recovery::Retry if is_cancelled => scope = Scope::Primary,
                        Recovery::Retry | Recovery::FailOver => {}
                    }
                }
            }
        }
        if tried.is_empty() {
            // All replicas are known to be dead.
            tried.push(Attempt { kind: self.targets[0].candidate.kind, failure: Failure::TimedOut });
        }
        Err(NoAnswer { tried })
    }

    /// `DATABASE_URL` as it was given.
    pub(crate) fn primary(&self) -> &Target {
        self.targets.last().expect("there is always the given URL")
    }

    /// The candidates whose breaker is closed and then the others, and the position of the main one: the last that is
    /// not known to be dead. Those whose cool-down is over are probed in the background, unless others know already.
    async fn order(self: &Rc<Self>) -> (Vec<&Target>, usize) {
        if let [only] = self.targets.as_slice() {
            return (vec![only], 0);
        }
        let mut closed = Vec::with_capacity(self.targets.len());
        let mut open = Vec::new();
        for (index, target) in self.targets.iter().enumerate() {
            if target.breaker.state(Instant::now()) == State::HalfOpen {
                target.breaker.refresh().await;
                if target.breaker.begin_probe(Instant::now()) {
                    spawn_detached(Self::probe(Rc::clone(self), index)).await;
                }
            }
            match target.breaker.state(Instant::now()) {
                State::Closed => closed.push(target),
                State::Open | State::HalfOpen => open.push(target),
            }
        }
        let main = if closed.is_empty() { open.len() } else { closed.len() } - 1;
        closed.append(&mut open);
        (closed, main)
    }

    /// Sees whether a candidate is there whose cool-down is over.
    async fn probe(self: Rc<Self>, index: usize) {
        let target = &self.targets[index];
        target.breaker.claim_probe().await;
        if self.answers(target).await {
            target.breaker.record_success().await;
            log::line("recovered", &self.config, &[("candidate", &target.candidate.kind)]);
        } else {
            target.breaker.record_failure().await;
        }
    }

    /// Sees in the background whether a candidate is there that has lost a connection.
    async fn look_at(self: &Rc<Self>, target: &Target) {
        let index = self.targets.iter().position(|known| std::ptr::eq(known, target));
        let (Some(index), Some(looking)) = (index, Looking::begin(&target.is_looked_at)) else { return };
        let reader = Rc::clone(self);
        spawn_detached(async move {
            let target = &reader.targets[index];
            let answers = reader.answers(target).await;
            drop(looking);
            if !answers {
                target.breaker.record_failure().await;
            }
        })
        .await;
    }

    async fn answers(&self, target: &Target) -> bool {
        let limit = COOL_DOWN.min(self.config.deadline / 4);
        matches!(timeout(limit, target.probe()).await, Some(Ok(_)))
    }
}

/// The same address with a pool of its own, where a transaction that was left open ends with its request, wherever that
/// went.
pub(crate) fn for_transactions(url: &DatabaseUrl, deadline: Duration) -> DatabaseUrl {
    let idle = deadline.as_millis().to_string();
    url.clone().with_purpose("transaction").with_setting("idle_in_transaction_session_timeout", &idle)
}
