//! One candidate as the requests of an instance share it, and how a statement is run on it: on the shared connection
//! first, and on fresh ones where they may help.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::{Either, select};

use super::breaker::SharedBreaker;
use super::connection::{Origin, SharedConnection, Statement};
use super::timer::{Asked, Stopped, halfway_to, timeout_at, unless};
use crate::rules::budget::Place;
use crate::rules::candidates::Candidate;
use crate::rules::database_url::DatabaseUrl;
use crate::rules::failure::Failure;
use crate::rules::recovery::Recovery;
use crate::rules::role::Role;
use crate::spin::postgres::Connection;

/// One candidate.
pub(crate) struct Target {
    pub(crate) candidate: Candidate,
    pub(crate) breaker: SharedBreaker,
    /// Whether an unexpected role was logged already.
    pub(crate) role_mismatch_logged: Cell<bool>,
    /// Whether somebody is just looking whether it is there.
    pub(crate) is_looked_at: Cell<bool>,
    shared: Rc<SharedConnection>,
    /// What reads run on takes no writes, on the primary neither: a read may be run again.
    pub(crate) read_url: DatabaseUrl,
    /// For a connection out of another pool than the shared one.
    isolated_url: DatabaseUrl,
}

/// Which connection a statement runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// The one that the requests of the instance share.
    Shared,
    /// One that nobody else waits for, out of a pool of its own.
    Dedicated,
}

/// Why a statement has no result on a connection.
pub(crate) enum Stop {
    Failed(Failure),
    /// It waits behind a statement that takes long: another connection is what it needs.
    HeldUp,
}

/// How long an attempt may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// When the request's own time is over.
    pub(crate) end: Instant,
    /// For how long the candidate may be silent, where others can answer in its stead.
    pub(crate) silence: Duration,
    pub(crate) place: Place,
}

impl Target {
    pub(crate) fn new(candidate: Candidate) -> Self {
        let read_url = candidate.url.clone().with_setting("default_transaction_read_only", "on");
        Self {
            breaker: SharedBreaker::new(&candidate.url),
            role_mismatch_logged: Cell::new(false),
            is_looked_at: Cell::new(false),
            shared: Rc::default(),
            isolated_url: read_url.clone().with_separate_pool(),
            read_url,
            candidate,
        }
    }

    /// Runs a statement, and again on a fresh connection where that may help. One that takes long is waited for as long as
    /// the candidate answers others.
    pub(crate) async fn attempt<T>(
        &self,
        run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
        time: Time,
        lease: Duration,
    ) -> Result<T, Failure> {
        let silent_until = (Instant::now() + time.silence).min(time.end);
        let mut retries = time.place.retries();
        let mut connection = Use::Shared;
        loop {
            let stop = match connection {
                Use::Shared => match self.on_shared(run, time, silent_until, lease).await {
                    Ok(Some(result)) => return Ok(result),
                    Ok(None) => {
                        connection = Use::Dedicated;
                        continue;
                    }
                    Err(stop) => stop,
                },
                Use::Dedicated => match self.on_dedicated(run, time, silent_until).await {
                    Ok(result) => return Ok(result),
                    Err(stop) => stop,
                },
            };
            match stop {
                Stop::HeldUp if Instant::now() < time.end => {}
                Stop::HeldUp => return Err(Failure::TimedOut),
                Stop::Failed(failure) => {
                    let again = Recovery::after(&failure) == Recovery::Retry && retries > 0;
                    if !again || Instant::now() >= silent_until {
                        return Err(failure);
                    }
                    retries -= 1;
                }
            }
            connection = Use::Shared;
        }
    }

    /// Nothing where there was no connection in time: another one may be had.
    async fn on_shared<T>(
        &self,
        run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
        time: Time,
        silent_until: Instant,
        lease: Duration,
    ) -> Result<Option<T>, Stop> {
        // Spin's pool may hand out a connection on which a statement is stuck, and waits for it.
        let acquired = self.shared.acquire(&self.read_url, lease, halfway_to(silent_until)).await;
        let Some(acquired) = acquired else { return Ok(None) };
        let (lease, origin) = acquired.map_err(Stop::Failed)?;
        let statement = lease.begin();
        let began = Instant::now();
        let result = self.on_lease(run, time, statement).await?;
        if origin == Origin::Opened {
            lease.keep(began.elapsed()).await;
        }
        Ok(Some(result))
    }

    /// On the shared one all the same where its open, given up before, comes first.
    async fn on_dedicated<T>(
        &self,
        run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
        time: Time,
        silent_until: Instant,
    ) -> Result<T, Stop> {
        let dedicated = async { Connection::open(&self.isolated_url).await.map(Either::Left) };
        let late = async { Ok(Either::Right(self.shared.late().await)) };
        let opened = async { select(pin!(dedicated), pin!(late)).await.factor_first().0 };
        // Also where nobody has polled this request meanwhile.
        let until = silent_until.max(Instant::now() + time.silence / 2).min(time.end);
        match timeout_at(until, opened).await.unwrap_or(Err(Failure::TimedOut)) {
            Err(failure) => Err(Stop::Failed(failure)),
            Ok(Either::Left(connection)) => self.while_it_answers(run(&connection), time, None).await,
            Ok(Either::Right(lease)) => self.on_lease(run, time, lease.begin()).await,
        }
    }

    async fn on_lease<T>(
        &self,
        run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
        time: Time,
        statement: Statement,
    ) -> Result<T, Stop> {
        let connection = statement.lease().connection();
        let mut guard = PoisonOnDrop(Some(connection));
        let held_up = statement.is_held_up();
        let outcome = self.while_it_answers(run(connection), time, Some(&held_up)).await;
        // Neither to lag nor to wait behind another statement is a fault of the connection.
        if matches!(outcome, Ok(_) | Err(Stop::Failed(Failure::Behind) | Stop::HeldUp)) {
            guard.0 = None;
        }
        outcome
    }

    /// The result of what waits for this candidate, for as long as that answers others: where nothing comes for a while,
    /// somebody looks on another connection whether it is still there. Not where nobody could answer in its stead.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] where the candidate does not answer, or the request's time is over.
    pub(crate) async fn while_it_answers<T>(
        &self,
        statement: impl Future<Output = Result<T, Failure>>,
        time: Time,
        held_up: Option<&Rc<Asked>>,
    ) -> Result<T, Stop> {
        let mut statement = pin!(statement);
        loop {
            let now = Instant::now();
            let silent_until = (now + time.silence).min(time.end);
            let look_at = if time.place.is_last() { time.end } else { now + (silent_until - now) / 2 };
            match unless(look_at, held_up, statement.as_mut()).await {
                Ok(result) => return result.map_err(Stop::Failed),
                Err(Stopped::Early) => return Err(Stop::HeldUp),
                Err(Stopped::Late) if look_at >= time.end => return Err(Stop::Failed(Failure::TimedOut)),
                Err(Stopped::Late) => {}
            }
            let probe = timeout_at(silent_until, self.probe());
            match select(statement.as_mut(), pin!(probe)).await {
                Either::Left((result, _)) => return result.map_err(Stop::Failed),
                Either::Right((Some(Ok(_)), _)) => {}
                Either::Right((Some(Err(_)) | None, _)) => return Err(Stop::Failed(Failure::TimedOut)),
            }
        }
    }

    /// The role of the database, on a connection of its own. Waits without bound.
    pub(crate) async fn probe(&self) -> Result<Role, Failure> {
        role(&Connection::open(&self.isolated_url).await?).await
    }
}

/// The role of the database behind a connection.
pub(crate) async fn role(connection: &Connection) -> Result<Role, Failure> {
    let rows = connection.execute(Role::STATEMENT, &[]).await?;
    Role::from_rows(rows).ok_or_else(|| Failure::Unusable(format!("{} has returned {rows} rows", Role::STATEMENT)))
}

/// Poisons a connection unless the statement on it went well, also when the statement is dropped.
struct PoisonOnDrop<'a>(Option<&'a Connection>);

impl Drop for PoisonOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.poison();
        }
    }
}
