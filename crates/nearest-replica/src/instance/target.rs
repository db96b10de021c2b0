//! One candidate as the requests of an instance share it, and how a statement is run on it: on the shared connection
//! first, and on fresh ones where they may help.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::{Either, select};

use super::breaker::SharedBreaker;
use super::connection::{Lease, Origin, SharedConnection};
use super::timer::{halfway_to, timeout_at};
use crate::rules::budget::Place;
use crate::rules::candidates::Candidate;
use crate::rules::database_url::DatabaseUrl;
use crate::rules::failure::Failure;
use crate::rules::recovery::{Recovery, is_slow};
use crate::rules::role::Role;
use crate::spin::postgres::Connection;

/// One candidate.
pub(crate) struct Target {
    pub(crate) candidate: Candidate,
    pub(crate) breaker: SharedBreaker,
    /// Whether an unexpected role was logged already.
    pub(crate) role_mismatch_logged: Cell<bool>,
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

/// Why a statement failed, and on which connection to try it again, if at all.
type Failed = (Failure, Option<Use>);

/// Nothing came back in time. If there is time left, it is for a connection that nobody else waits for.
const OUT_OF_TIME: Failed = (Failure::TimedOut, Some(Use::Dedicated));

impl Target {
    pub(crate) fn new(candidate: Candidate) -> Self {
        let read_url = candidate.url.clone().with_setting("default_transaction_read_only", "on");
        Self {
            breaker: SharedBreaker::new(&candidate.url),
            role_mismatch_logged: Cell::new(false),
            shared: Rc::default(),
            isolated_url: read_url.clone().with_separate_pool(),
            read_url,
            candidate,
        }
    }

    /// Runs a statement within `budget`, and again where that may help.
    pub(crate) async fn attempt<T>(
        &self,
        run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
        budget: Duration,
        place: Place,
        lease: Duration,
    ) -> Result<T, Failure> {
        let end = Instant::now() + budget;
        let mut retries = place.retries();
        let mut connection = Use::Shared;
        loop {
            let outcome = match connection {
                Use::Shared => self.on_shared(run, end, place, lease).await,
                Use::Dedicated => timeout_at(end, self.on_dedicated(run)).await.unwrap_or(Err(OUT_OF_TIME)),
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
        run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
        end: Instant,
        place: Place,
        lease: Duration,
    ) -> Result<T, Failed> {
        // Spin's pool may hand out a connection on which a statement is stuck, and waits for it.
        let until = if place.is_main() { halfway_to(end) } else { end };
        let acquired = self.shared.acquire(&self.read_url, lease, until).await;
        let (lease, origin) = acquired.ok_or(OUT_OF_TIME)?.map_err(|failure| (failure, None))?;
        let mut guard = PoisonOnDrop(Some(&lease));
        let end = match origin {
            Origin::Opened => end,
            // It may be stuck behind the statement of another request: leave time for a dedicated connection.
            Origin::Reused => halfway_to(end),
        };
        let began = Instant::now();
        let outcome = timeout_at(end, run(lease.connection())).await.ok_or(OUT_OF_TIME)?;
        // To lag is no fault of the connection.
        if matches!(outcome, Ok(_) | Err(Failure::Behind)) {
            guard.0 = None;
            if origin == Origin::Opened {
                Rc::clone(&lease).keep(began.elapsed()).await;
            }
        }
        outcome.map_err(retry)
    }

    /// On the shared one all the same where its open, given up before, comes first.
    async fn on_dedicated<T>(&self, run: &impl AsyncFn(&Connection) -> Result<T, Failure>) -> Result<T, Failed> {
        let dedicated = async { Connection::open(&self.isolated_url).await.map(Either::Left) };
        let late = async { Ok(Either::Right(self.shared.late().await)) };
        let value = match select(pin!(dedicated), pin!(late)).await.factor_first().0 {
            Err(failure) => Err(failure),
            Ok(Either::Left(connection)) => run(&connection).await,
            Ok(Either::Right(lease)) => {
                let mut guard = PoisonOnDrop(Some(&lease));
                let value = run(lease.connection()).await;
                if value.is_ok() {
                    guard.0 = None;
                }
                value
            }
        };
        value.map_err(retry)
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

/// Where to try a statement again after a failure; a slow one where it holds up nobody.
fn retry(failure: Failure) -> Failed {
    let next = match Recovery::after(&failure) {
        Recovery::Retry if is_slow(&failure) => Some(Use::Dedicated),
        Recovery::Retry => Some(Use::Shared),
        Recovery::FailOver | Recovery::Fail => None,
    };
    (failure, next)
}

/// Poisons a connection unless the statement on it went well, also when the statement is dropped.
struct PoisonOnDrop<'a>(Option<&'a Lease>);

impl Drop for PoisonOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.0 {
            lease.connection().poison();
        }
    }
}
