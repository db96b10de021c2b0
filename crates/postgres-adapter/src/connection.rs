//! A connection as the app sees it: opened nowhere until its first statement, on a replica while it only reads, on the
//! primary from then on.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::join;
use nearest_replica::parts::{Freshness, Position, Recovery};
use nearest_replica::{CandidateKind, Failure, SqlState};

use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::database::{Database, Replica, Replicas};
use crate::failure::{of, of_open};
use crate::floor::Needed;
use crate::host::{Address, Host};
use crate::mint::mint;
use crate::statements::{Decision, decide};
use crate::written::Written;

/// Between two looks at a replica that has not replayed enough yet.
const POLL: Duration = Duration::from_millis(20);

/// One connection of the app.
pub(crate) struct Connection {
    address: Address,
    place: RefCell<Place>,
}

/// Where the statements of a connection run. It only ever moves down in this list, so nothing is seen to go back in time.
#[derive(Clone)]
enum Place {
    Nowhere,
    Replica(CandidateKind, Rc<pg::Connection>),
    Primary(Rc<pg::Connection>),
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
    /// Where the statement may have written.
    pub(crate) written: Option<Written>,
}

/// Why a replica has not answered.
enum Unread {
    /// What the read must see, only the primary has for sure; with the name of the write after which to mint.
    ForPrimary(Option<String>),
    /// No connection in time.
    NotOpened,
    Failed(Failure),
}

impl Connection {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, place: RefCell::new(Place::Nowhere) }
    }

    /// Runs a statement where it belongs. `run` is run again only where a replica has failed, or has said no.
    ///
    /// # Errors
    /// Spin's own, as they are.
    pub(crate) async fn run<T>(
        &self,
        host: Host,
        statement: &str,
        run: impl AsyncFn(&pg::Connection, Server) -> Result<T, pg::Error>,
    ) -> Result<Ran<T>, pg::Error> {
        let database = Database::at(host, &self.address).await.map_err(pg::Error::Other)?;
        let Some(writes) = &database.writes else {
            let connection = self.primary(host, &database).await?;
            return Ok(Ran { value: run(&connection, Server::Primary).await?, written: None });
        };
        let decision = decide(statement);
        let mut to_mint = None;
        if decision == Decision::Anywhere
            && let Some(replicas) = &database.replicas
        {
            match self.read(host, replicas, &run).await {
                Ok(value) => return Ok(Ran { value, written: None }),
                Err(write) => to_mint = write.map(|write| (replicas, write)),
            }
        }
        let connection = self.primary(host, &database).await?;
        if let Some((replicas, write)) = to_mint {
            match host {
                Host::Async => replicas.mint(host).await,
                Host::Blocking => drop(mint(host, &connection, &replicas.floor, &write).await),
            }
        }
        if decision != Decision::Writes {
            return Ok(Ran { value: run(&connection, Server::Primary).await?, written: None });
        }
        let written = Written::may_be(host, writes.clone(), database.replicas.clone());
        match run(&connection, Server::Primary).await {
            Ok(value) => Ok(Ran { value, written: Some(written) }),
            Err(error) => {
                written.failed(&error).await;
                Err(error)
            }
        }
    }

    /// The same for all rows at once, by functions that block.
    pub(crate) async fn query_blocking(
        &self,
        statement: &str,
        params: &[pg::ParameterValue],
    ) -> Result<pg::RowSet, pg::Error> {
        let run = async |connection: &pg::Connection, _| connection.query(statement, params);
        Ok(self.run(Host::Blocking, statement, run).await?.told().await)
    }

    /// The same for the number of rows.
    pub(crate) async fn execute_blocking(
        &self,
        statement: &str,
        params: &[pg::ParameterValue],
    ) -> Result<u64, pg::Error> {
        let run = async |connection: &pg::Connection, _| connection.execute(statement, params);
        Ok(self.run(Host::Blocking, statement, run).await?.told().await)
    }

    /// Runs a statement that only reads on a replica.
    ///
    /// # Errors
    /// When it is for the primary; with the name of a write after which to mint, where that is missing.
    async fn read<T>(
        &self,
        host: Host,
        replicas: &Rc<Replicas>,
        run: &impl AsyncFn(&pg::Connection, Server) -> Result<T, pg::Error>,
    ) -> Result<T, Option<String>> {
        let place = self.place.borrow().clone();
        match place {
            Place::Primary(_) => return Err(None),
            Place::Replica(kind, connection) => {
                let replica = replicas.all.iter().find(|replica| replica.kind == kind).ok_or(None)?;
                let needed = replicas.floor.needed(host).await;
                return match read_with(host, replicas, replica, &connection, needed, run).await {
                    Ok(value) => Ok(value),
                    Err(Unread::ForPrimary(write)) => Err(write),
                    Err(Unread::NotOpened) => Err(None),
                    Err(Unread::Failed(failure)) => {
                        replicas.log_move(kind, &failure);
                        Err(None)
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
                Err(Unread::ForPrimary(write)) => return Err(write),
                Err(Unread::NotOpened) => {
                    replicas.log_move(replica.kind, &Failure::TimedOut);
                    replicas.look_at(host, replica).await;
                }
                Err(Unread::Failed(failure)) => {
                    replicas.log_move(replica.kind, &failure);
                    if is_of_the_statement(&failure) {
                        return Err(None);
                    }
                    replicas.record_failure(host, replica).await;
                }
            }
        }
        Err(None)
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
            if let Needed::Primary(write) = known {
                return Err(Unread::ForPrimary(write));
            }
            let connection = opened.ok_or(Unread::NotOpened)?.map_err(|error| Unread::Failed(of_open(&error)))?;
            match read_with(host, replicas, replica, &connection, known, run).await {
                Ok(value) => {
                    let mut place = self.place.borrow_mut();
                    // Another statement of the app may have gone elsewhere meanwhile.
                    if matches!(*place, Place::Nowhere) {
                        *place = Place::Replica(replica.kind, Rc::new(connection));
                    }
                    return Ok(value);
                }
                Err(Unread::Failed(failure))
                    if again && !is_of_the_statement(&failure) && Recovery::after(&failure) == Recovery::Retry => {}
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
        let mut place = self.place.borrow_mut();
        if let Place::Primary(connection) = &*place {
            // Another statement of the app was faster.
            return Ok(Rc::clone(connection));
        }
        *place = Place::Primary(Rc::clone(&opened));
        Ok(opened)
    }
}

impl<T> Ran<T> {
    /// What the app is told now.
    pub(crate) async fn told(self) -> T {
        if let Some(written) = self.written {
            written.done().await;
        }
        self.value
    }
}

/// Whether a failure says nothing against the server: the statement is for the primary, for only that may say no, or was
/// cancelled, by a limit or by changes that were replayed.
fn is_of_the_statement(failure: &Failure) -> bool {
    let ended = [SqlState::QUERY_CANCELED, SqlState::SERIALIZATION_FAILURE];
    failure.sqlstate().is_some_and(|state| ended.contains(&state))
        || matches!(failure, Failure::Behind)
        || Recovery::after(failure) == Recovery::Fail
}

/// Reads on a connection to a replica, where that has what is needed. A replica that takes long is left alone for as long as
/// it answers others.
async fn read_with<T>(
    host: Host,
    replicas: &Rc<Replicas>,
    replica: &Replica,
    connection: &pg::Connection,
    needed: Needed,
    run: &impl AsyncFn(&pg::Connection, Server) -> Result<T, pg::Error>,
) -> Result<T, Unread> {
    let read = async {
        match needed {
            Needed::Nothing => {}
            Needed::At(position, write) => check(host, replicas, position, write, connection).await?,
            Needed::Primary(write) => return Err(Unread::ForPrimary(write)),
        }
        run(connection, Server::Replica).await.map_err(|error| Unread::Failed(of(&error)))
    };
    let mut read = std::pin::pin!(read);
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
async fn check(
    host: Host,
    replicas: &Replicas,
    position: Position,
    write: String,
    connection: &pg::Connection,
) -> Result<(), Unread> {
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
                replicas.floor.forget(host).await;
                return Err(Unread::ForPrimary(Some(write)));
            }
        }
    }
}
