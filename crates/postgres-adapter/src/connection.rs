//! A connection as the app sees it: opened nowhere until its first statement, on a replica while it only reads, on the
//! primary from then on.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::join;
use nearest_replica::parts::{Blame, Freshness, Position, Transaction};
use nearest_replica::{CandidateKind, Failure, SqlState};

use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::database::{Database, Replica, Replicas};
use crate::failure::{of, of_open};
use crate::floor::{Needed, Unminted};
use crate::host::{Address, Host};
use crate::mint::mint;
use crate::statements::{Runs, decide};
use crate::transaction::{Ending, OpenTransaction};
use crate::turns::Turns;
use crate::written::Written;

/// Between two looks at a replica that has not replayed enough yet.
const POLL: Duration = Duration::from_millis(20);

/// One connection of the app: it has one connection of Spin's at a time, and its statements are handed on one by one, in
/// the order in which the app has begun them.
pub(crate) struct Connection {
    address: Address,
    turns: Turns,
    /// Changed by whoever has the turn.
    place: RefCell<Place>,
    transaction: OpenTransaction,
}

/// Where the statements of a connection run. It only ever moves down in this list, so nothing is seen to go back in time.
#[derive(Clone)]
enum Place {
    Nowhere,
    Replica(OnReplica),
    Primary(Rc<pg::Connection>),
}

/// A connection to a replica.
#[derive(Clone)]
struct OnReplica {
    kind: CandidateKind,
    connection: Rc<pg::Connection>,
    /// What it was last seen to have replayed.
    has: Option<Position>,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// Who may fail, or say no, without the app's being told.
    Replica,
    Primary,
}

/// The result of a statement, and what is left to do before the app has it.
pub(crate) struct Ran<T> {
    pub(crate) value: T,
    pub(crate) after: After,
}

/// What is to be done when a statement has come to its end.
#[derive(Default)]
pub(crate) struct After {
    /// It may have written.
    written: Option<Written>,
    /// It ends this.
    transaction: Option<Ending>,
}

/// Why a read is not answered by a replica.
#[derive(Default)]
struct ForPrimary {
    /// What to mint after, where that is missing.
    unminted: Unminted,
    /// The replica has refused it as a write.
    writes: bool,
}

/// Why a replica has not answered.
enum Unread {
    /// What the read must see, only the primary has for sure; with what to mint after.
    ForPrimary(Unminted),
    /// No connection in time.
    NotOpened,
    Failed(Failure),
}

impl Connection {
    pub(crate) fn new(address: Address) -> Self {
        let (turns, transaction) = (Turns::default(), OpenTransaction::default());
        Self { address, turns, place: RefCell::new(Place::Nowhere), transaction }
    }

    /// Runs a statement where it belongs, in its turn. `run` is run again only where a replica has failed, or has said no.
    ///
    /// # Errors
    /// Spin's own, as they are.
    pub(crate) async fn run<T>(
        &self,
        host: Host,
        statement: &str,
        run: impl AsyncFn(&pg::Connection, Server) -> Result<T, pg::Error>,
    ) -> Result<Ran<T>, pg::Error> {
        let turn = self.turns.take(host).await?;
        let opened = Database::at(host, &self.address).await.map_err(pg::Error::Other);
        let database = opened.inspect_err(|error| turn.refuse(error))?;
        let mut decision = decide(statement);
        let mut to_mint = None;
        if decision.runs == Runs::Anywhere
            && let Some(replicas) = &database.replicas
        {
            match self.read(host, replicas, &run).await {
                Ok(value) => return Ok(Ran { value, after: After::default() }),
                Err(for_primary) => {
                    if for_primary.writes {
                        decision.runs = Runs::Writes;
                    }
                    to_mint = Some(for_primary.unminted).filter(Unminted::is_some).map(|after| (replicas, after));
                }
            }
        }
        let connection = self.primary(host, &database).await.inspect_err(|error| turn.refuse(error))?;
        if let Some((replicas, after)) = to_mint {
            match host {
                Host::Async => replicas.mint(host).await,
                Host::Blocking => drop(mint(host, &connection, &replicas.floor, &after).await),
            }
        }
        if decision.transaction == Transaction::Begins {
            self.transaction.begins(host, &connection).await;
        }
        let written = database.writes.as_ref().filter(|_| decision.writes()).map(|writes| {
            let in_parts = decision.runs == Runs::WritesInParts;
            Written::may_be(host, writes.clone(), database.replicas.clone(), in_parts)
        });
        let ends = decision.transaction == Transaction::Ends;
        let after = After { written, transaction: ends.then(|| self.transaction.ending()) };
        let result = run(&connection, Server::Primary).await;
        drop(turn);
        match result {
            Ok(value) => Ok(Ran { value, after }),
            Err(error) => {
                after.failed(&error).await?;
                Err(error)
            }
        }
    }

    /// Runs a statement by functions that block, for all its rows at once.
    pub(crate) async fn query_blocking(
        &self,
        statement: &str,
        params: &[pg::ParameterValue],
    ) -> Result<pg::RowSet, pg::Error> {
        let run = async |connection: &pg::Connection, _| connection.query(statement, params);
        self.run(Host::Blocking, statement, run).await?.told().await
    }

    /// Runs a statement by functions that block, for the number of its rows.
    pub(crate) async fn execute_blocking(
        &self,
        statement: &str,
        params: &[pg::ParameterValue],
    ) -> Result<u64, pg::Error> {
        let run = async |connection: &pg::Connection, _| connection.execute(statement, params);
        self.run(Host::Blocking, statement, run).await?.told().await
    }

    /// Runs a statement that only reads on a replica.
    ///
    /// # Errors
    /// When it is for the primary.
    async fn read<T>(
        &self,
        host: Host,
        replicas: &Rc<Replicas>,
        run: &impl AsyncFn(&pg::Connection, Server) -> Result<T, pg::Error>,
    ) -> Result<T, ForPrimary> {
        let place = self.place.borrow().clone();
        match place {
            Place::Primary(_) => return Err(ForPrimary::default()),
            Place::Replica(mut on) => {
                let replica = replicas.all.iter().find(|replica| replica.kind == on.kind);
                let replica = replica.ok_or_else(ForPrimary::default)?;
                let needed = replicas.floor.needed(host).await;
                return match read_with(host, replicas, replica, &mut on, needed, run).await {
                    Ok(value) => {
                        self.place.replace(Place::Replica(on));
                        Ok(value)
                    }
                    Err(Unread::ForPrimary(unminted)) => Err(ForPrimary { unminted, writes: false }),
                    Err(Unread::NotOpened) => Err(ForPrimary::default()),
                    Err(Unread::Failed(failure)) => {
                        replicas.log_move(on.kind, &failure);
                        Err(ForPrimary::after(&failure))
                    }
                };
            }
            Place::Nowhere => {}
        }
        let mut needed = None;
        for replica in &replicas.all {
            if !replicas.is_up(host, replica).await {
                continue;
            }
            match self.read_on(host, replicas, replica, &mut needed, run).await {
                Ok(value) => {
                    replicas.record_success(host, replica).await;
                    replicas.check_role(host, replica).await;
                    return Ok(value);
                }
                Err(Unread::ForPrimary(unminted)) => return Err(ForPrimary { unminted, writes: false }),
                Err(Unread::NotOpened) => {
                    replicas.log_move(replica.kind, &Failure::TimedOut);
                    replicas.look_at(host, replica).await;
                }
                Err(Unread::Failed(failure)) => {
                    replicas.log_move(replica.kind, &failure);
                    match Blame::after(&failure) {
                        Blame::Nobody => return Err(ForPrimary::after(&failure)),
                        Blame::Connection => replicas.look_at(host, replica).await,
                        Blame::Database => replicas.record_failure(host, replica).await,
                    }
                }
            }
        }
        Err(ForPrimary::default())
    }

    /// Opens a connection to a replica, and reads there if it has what is needed. Once more where the connection had been
    /// closed while the pool kept it.
    async fn read_on<T>(
        &self,
        host: Host,
        replicas: &Rc<Replicas>,
        replica: &Replica,
        needed: &mut Option<Needed>,
        run: &impl AsyncFn(&pg::Connection, Server) -> Result<T, pg::Error>,
    ) -> Result<T, Unread> {
        let mut again = true;
        loop {
            let open = host.within(replicas.patience(), host.open(replica.address(host)));
            let (known, opened) = match needed.take() {
                Some(known) => (known, open.await),
                None => join(replicas.floor.needed(host), open).await,
            };
            *needed = Some(known.clone());
            if let Needed::Primary(unminted) = known {
                return Err(Unread::ForPrimary(unminted));
            }
            let connection = opened.ok_or(Unread::NotOpened)?.map_err(|error| Unread::Failed(of_open(&error)))?;
            let mut on = OnReplica { kind: replica.kind, connection: Rc::new(connection), has: None };
            match read_with(host, replicas, replica, &mut on, known, run).await {
                Ok(value) => {
                    self.place.replace(Place::Replica(on));
                    return Ok(value);
                }
                Err(Unread::Failed(failure)) if again && Blame::after(&failure) == Blame::Connection => {}
                Err(unread) => return Err(unread),
            }
            again = false;
        }
    }

    /// The connection to the primary, from now on.
    async fn primary(&self, host: Host, database: &Database) -> Result<Rc<pg::Connection>, pg::Error> {
        if let Place::Primary(connection) = &*self.place.borrow() {
            return Ok(Rc::clone(connection));
        }
        let opened = Rc::new(host.open(&database.primary).await?);
        self.place.replace(Place::Primary(Rc::clone(&opened)));
        Ok(opened)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.transaction.give_up();
    }
}

impl<T> Ran<T> {
    /// What the app is told now.
    ///
    /// # Errors
    /// Where it may not be told that the statement has succeeded.
    pub(crate) async fn told(self) -> Result<T, pg::Error> {
        self.after.done().await.map(|()| self.value)
    }
}

impl After {
    pub(crate) fn is_nothing(&self) -> bool {
        self.written.is_none() && self.transaction.is_none()
    }

    /// The statement has come to its end.
    ///
    /// # Errors
    /// Where the app may not be told so.
    pub(crate) async fn done(self) -> Result<(), pg::Error> {
        if let Some(transaction) = self.transaction {
            transaction.ended();
        }
        match self.written {
            Some(written) => written.done().await,
            None => Ok(()),
        }
    }

    /// It has failed.
    ///
    /// # Errors
    /// Where the app may not be told just that.
    pub(crate) async fn failed(self, error: &pg::Error) -> Result<(), pg::Error> {
        match self.written {
            Some(written) => written.failed(error).await,
            None => Ok(()),
        }
    }
}

impl ForPrimary {
    fn after(failure: &Failure) -> Self {
        let writes = failure.sqlstate() == Some(SqlState::READ_ONLY_SQL_TRANSACTION);
        Self { unminted: Unminted::default(), writes }
    }
}

/// Reads on a connection to a replica, where that has what is needed. A replica that takes long is left alone for as long as
/// it answers others.
async fn read_with<T>(
    host: Host,
    replicas: &Rc<Replicas>,
    replica: &Replica,
    on: &mut OnReplica,
    needed: Needed,
    run: &impl AsyncFn(&pg::Connection, Server) -> Result<T, pg::Error>,
) -> Result<T, Unread> {
    let read = async {
        match needed {
            Needed::Nothing => {}
            Needed::At(position) if on.has.is_some_and(|has| has.covers(position)) => {}
            Needed::At(position) => {
                check(host, replicas, position, &on.connection).await?;
                on.has = Some(position);
            }
            Needed::Primary(unminted) => return Err(Unread::ForPrimary(unminted)),
        }
        run(&on.connection, Server::Replica).await.map_err(|error| Unread::Failed(of(&error)))
    };
    let mut read = pin!(read);
    loop {
        match host.within(replicas.patience(), &mut read).await {
            Some(result) => return result,
            None if replica.answers(host).await => {}
            None => return Err(Unread::Failed(Failure::TimedOut)),
        }
    }
}

/// Returns when a server has replayed what is needed, for which it waits a little.
///
/// # Errors
/// Where it is for the primary.
async fn check(host: Host, replicas: &Replicas, position: Position, connection: &pg::Connection) -> Result<(), Unread> {
    let end = Instant::now() + replicas.wait();
    loop {
        let (system, timeline, lsn) = position.parameters();
        let params =
            [pg::ParameterValue::Str(system), pg::ParameterValue::Int32(timeline), pg::ParameterValue::Str(lsn)];
        let rows = host.execute(connection, Position::CHECK, params.into()).await;
        match Freshness::from_rows(rows.map_err(|error| Unread::Failed(of(&error)))?) {
            Some(Freshness::Fresh) => return Ok(()),
            Some(Freshness::Behind) if host == Host::Async && Instant::now() < end => host.pause(POLL).await,
            Some(Freshness::Behind) | None => return Err(Unread::Failed(Failure::Behind)),
            // After a failover it means nothing any more.
            Some(Freshness::ForeignReplica | Freshness::ForeignPrimary) => {
                return Err(Unread::ForPrimary(replicas.floor.forget(host).await));
            }
        }
    }
}
