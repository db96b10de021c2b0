//! One candidate as the requests of an instance share it, and how a statement is run on it: on the shared connection
//! first, and on fresh ones where they may help.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::select;

use super::breaker::SharedBreaker;
use super::connection::{Lease, Origin, SharedConnection};
use super::signal::spawn_detached;
use super::timer::{Early, EndsEarly, Stopped, timeout, timeout_at, unless};
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
    pub(crate) is_looked_at: Rc<Cell<bool>>,
    /// How often it has answered anything in this instance.
    answers: Rc<Cell<u64>>,
    shared: Rc<SharedConnection>,
    /// What reads run on takes no writes, on the primary neither: a read may be run again.
    pub(crate) read_url: DatabaseUrl,
    /// For a connection out of another pool than the shared one.
    isolated_url: DatabaseUrl,
}

/// How long it may take to see whether a candidate is there.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// A connection for a statement.
enum Held {
    /// The one that the requests of the instance share.
    Shared(Rc<Lease>, Origin),
    /// One that nobody else waits for.
    Dedicated(Connection),
}

impl Held {
    fn connection(&self) -> &Connection {
        match self {
            Self::Shared(lease, _) => lease.connection(),
            Self::Dedicated(connection) => connection,
        }
    }
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
    /// When it begins.
    pub(crate) began: Instant,
    /// When the request's own time is over.
    pub(crate) end: Instant,
    /// For how long the candidate may be silent, where others can answer in its stead.
    pub(crate) silence: Duration,
    pub(crate) place: Place,
}

impl Time {
    /// Until when the candidate may be silent that has last said something at this time.
    pub(crate) fn silent_until(self, said: Instant) -> Instant {
        (said + self.silence).min(self.end)
    }

    /// Moves that time, so that half of the silence is left from now on: nobody may have polled this request meanwhile.
    fn half_more(self, silent_until: Instant) -> Instant {
        silent_until.max(Instant::now() + self.silence / 2).min(self.end)
    }
}

impl Target {
    pub(crate) fn new(candidate: Candidate) -> Self {
        let read_url = candidate.url.clone().with_setting("default_transaction_read_only", "on");
        Self {
            breaker: SharedBreaker::new(&candidate.url),
            role_mismatch_logged: Cell::new(false),
            is_looked_at: Rc::default(),
            answers: Rc::default(),
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
        mut time: Time,
        lease: Duration,
    ) -> Result<T, Failure> {
        let mut silent_until = time.silent_until(time.began);
        let mut retries = time.place.retries();
        // Where many take long, each would only hold up others on the next connection.
        let mut may_move = true;
        loop {
            let stop = match self.connection(time, silent_until, lease).await {
                Ok(held) => match self.run_on(held, run, time, may_move).await {
                    Ok(result) => return Ok(result),
                    Err(stop) => stop,
                },
                Err(failure) => Stop::Failed(failure),
            };
            match stop {
                Stop::HeldUp => {
                    may_move = false;
                    time.began = Instant::now();
                    silent_until = time.silent_until(time.began);
                }
                Stop::Failed(failure) => {
                    let again = Recovery::after(&failure) == Recovery::Retry && retries > 0;
                    if !again || Instant::now() >= silent_until {
                        return Err(failure);
                    }
                    retries -= 1;
                }
            }
        }
    }

    /// The connection that the requests of the instance share, or, where that cannot be had in time, whichever is there
    /// first: that one all the same, or one that nobody else waits for, out of a pool of its own.
    async fn connection(&self, time: Time, silent_until: Instant, lease: Duration) -> Result<Held, Failure> {
        // Spin's pool may hand out a connection on which a statement is stuck, and waits for it.
        let until = silent_until - time.silence / 2;
        if let Some(acquired) = self.shared.acquire(&self.read_url, lease, until).await {
            return acquired.map(|(lease, origin)| Held::Shared(lease, origin));
        }
        let dedicated = async { Connection::open(&self.isolated_url).await.map(Held::Dedicated) };
        let late = async { Ok(Held::Shared(self.shared.late().await, Origin::Reused)) };
        let opened = async { select(pin!(dedicated), pin!(late)).await.factor_first().0 };
        timeout_at(time.half_more(silent_until), opened).await.unwrap_or(Err(Failure::TimedOut))
    }

    async fn run_on<T>(
        &self,
        held: Held,
        run: &impl AsyncFn(&Connection) -> Result<T, Failure>,
        time: Time,
        may_move: bool,
    ) -> Result<T, Stop> {
        let began = Instant::now();
        let time = Time { began, ..time };
        let connection = held.connection();
        let statement = connection.begin();
        let held_up = match &held {
            Held::Shared(lease, _) if may_move => Some((Rc::clone(lease) as Rc<dyn EndsEarly>, statement.number())),
            Held::Shared(..) | Held::Dedicated(_) => None,
        };
        let mut guard = PoisonOnDrop(Some(connection));
        let outcome = self.while_it_answers(run(connection), time, held_up.as_ref()).await;
        // Neither to lag nor to wait behind another statement is a fault of the connection.
        if matches!(outcome, Ok(_) | Err(Stop::Failed(Failure::Behind) | Stop::HeldUp)) {
            guard.0 = None;
        }
        drop(guard);
        drop(statement);
        if let (Held::Shared(lease, Origin::Opened), Ok(_)) = (held, &outcome) {
            drop(held_up);
            lease.keep(began.elapsed()).await;
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
        held_up: Option<&Early>,
    ) -> Result<T, Stop> {
        let mut statement = pin!(statement);
        let mut began = time.began;
        loop {
            let answers = self.answers.get();
            let silent_until = time.silent_until(began);
            let look_at = if time.place.is_last() { time.end } else { silent_until - time.silence / 2 };
            match unless(look_at, held_up, statement.as_mut()).await {
                Ok(result) => return self.answered(result),
                Err(Stopped::Early) => return Err(Stop::HeldUp),
                Err(Stopped::Late) if look_at >= time.end => return Err(Stop::Failed(Failure::TimedOut)),
                Err(Stopped::Late) => {}
            }
            if self.answers.get() == answers {
                self.look().await;
                match unless(time.half_more(silent_until), held_up, statement.as_mut()).await {
                    Ok(result) => return self.answered(result),
                    Err(Stopped::Early) => return Err(Stop::HeldUp),
                    Err(Stopped::Late) if self.answers.get() == answers => {
                        return Err(Stop::Failed(Failure::TimedOut));
                    }
                    Err(Stopped::Late) => {}
                }
            }
            began = Instant::now();
        }
    }

    fn answered<T>(&self, result: Result<T, Failure>) -> Result<T, Stop> {
        self.answers.set(self.answers.get() + 1);
        result.map_err(Stop::Failed)
    }

    /// Looks whether the candidate answers, by a task of its own: one for all who wait for that.
    async fn look(&self) {
        let Some(looking) = Looking::begin(&self.is_looked_at) else { return };
        let (url, answers) = (self.isolated_url.clone(), Rc::clone(&self.answers));
        spawn_detached(async move {
            let _looking = looking;
            timeout(LONGEST_LOOK, probe(&url, &answers)).await;
        })
        .await;
    }

    /// The role of the database, on a connection of its own. Waits without bound.
    pub(crate) async fn probe(&self) -> Result<Role, Failure> {
        probe(&self.isolated_url, &self.answers).await
    }
}

/// The role of the database at `url`, which counts as an answer of its candidate, whoever has asked.
async fn probe(url: &DatabaseUrl, answers: &Cell<u64>) -> Result<Role, Failure> {
    let role = role(&Connection::open(url).await?).await?;
    answers.set(answers.get() + 1);
    Ok(role)
}

/// Somebody is just looking whether a candidate is there, until this is dropped.
pub(crate) struct Looking(Rc<Cell<bool>>);

impl Looking {
    /// Nothing where somebody else is.
    pub(crate) fn begin(is_looked_at: &Rc<Cell<bool>>) -> Option<Self> {
        (!is_looked_at.replace(true)).then(|| Self(Rc::clone(is_looked_at)))
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.set(false);
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
