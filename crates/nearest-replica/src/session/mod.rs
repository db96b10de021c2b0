//! A session: what one user does within one request, and what was seen in the requests before it. Reads run on the
//! nearest database that has seen as much as the session has, writes on the primary.

mod arrival;
mod bookmark;
mod requirement;
mod state;
mod write;

use std::cell::RefCell;
use std::time::Instant;

pub use self::arrival::Written;
use self::state::{LONGEST_UNTIL_MS, Requirement, Seen, State, now};
use crate::database::Database;
use crate::instance::target::{Stop, Time};
use crate::outcome::{Answer, Attempt, NoAnswer};
use crate::problem::Problem;
use crate::read::Scope;
use crate::rows::FromRow;
use crate::rules::bookmark::{Bookmark, Position};
use crate::rules::budget::{Place, answer_by};
use crate::rules::candidates::CandidateKind;
use crate::rules::failure::Failure;
use crate::rules::reason::Reason;
use crate::rules::recovery::Recovery;
use crate::rules::sqlstate::SqlState;
use crate::spin::postgres::{Connection, ParameterValue, Rows};

/// One user within one request: begun by [`Database::session`].
///
/// Time never runs backwards in it: a read is never answered by a database that has seen less than what the session has
/// written or read before, in this request or in those whose [bookmark](Session::bookmark) it was begun with.
///
/// What it does, it does in the order of the calls: two at once do not compile.
///
/// ```compile_fail,E0499
/// # use nearest_replica::Session;
/// async fn at_once(session: &mut Session) {
///     let write = session.write("INSERT INTO books (title) VALUES ('Emma')", &[]);
///     let read = session.read("SELECT title FROM books", &[]);
///     futures::join!(write, read);
/// }
/// ```
pub struct Session {
    database: Database,
    pub(crate) end: Instant,
    pub(crate) began: Instant,
    state: RefCell<State>,
}

/// Where the next read runs.
enum Plan {
    Nearest,
    Same(CandidateKind, Connection),
    Primary(Reason),
}

impl Database {
    /// Begins a session: what one user does within one request. `started` is the moment at which the request came in, from
    /// which its deadline counts. `bookmark` is what [`Session::bookmark`] gave at the end of the user's session before:
    /// nothing for a new user, `primary` for one whose first read must be of the primary. Whatever else a client sends for
    /// a bookmark costs a detour at most.
    #[must_use]
    pub fn session(&self, started: Instant, bookmark: &str) -> Session {
        let mut bookmark = Bookmark::parse(bookmark);
        // Of a clock that is wrong, or made up.
        if matches!(bookmark, Bookmark::Until(at) if at > now() + LONGEST_UNTIL_MS) {
            bookmark = Bookmark::Primary;
        }
        let state = State { bookmark, foreign: false, seen: Seen::Nothing, wrote: false, arrived: None };
        let end = answer_by(started, self.config().deadline);
        Session { database: self.clone(), end, began: Instant::now(), state: RefCell::new(state) }
    }
}

impl Session {
    /// Runs one statement that reads, on the nearest database that has seen what the session has.
    ///
    /// It may be run again where a database fails, and runs read-only everywhere. One that turns out to write is run once
    /// on the primary, as by [`Session::write`].
    ///
    /// # Errors
    /// [`Problem::Unavailable`] when no database answered in time, [`Problem::Behind`] when those that did have not seen
    /// enough, [`Problem::StatementFailed`] when the primary refused the statement; those of [`Session::write`] where it
    /// writes.
    pub async fn read(&mut self, statement: &str, params: &[ParameterValue]) -> Result<Answer<Rows>, Problem> {
        self.read_by(self.plan(), statement, params).await
    }

    /// Runs one statement that reads, on the primary: for what must not be decided on an old view.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub async fn read_from_primary(
        &mut self,
        statement: &str,
        params: &[ParameterValue],
    ) -> Result<Answer<Rows>, Problem> {
        self.read_by(Plan::Primary(Reason::Asked), statement, params).await
    }

    /// Runs one statement that may write, on the primary, once: whatever may have happened is never repeated. Given up
    /// before its end, it is unknown to the session whether it happened.
    ///
    /// # Errors
    /// They say what is known. [`Problem::Unavailable`]: nothing was sent. [`Problem::StatementFailed`] and
    /// [`Problem::RolledBack`]: nothing of it is there; the latter may well succeed when it is repeated.
    /// [`Problem::PrimaryReadOnly`]: the primary takes no writes now. [`Problem::OutcomeUnknown`]: it happened or it did
    /// not, and until that is final the session reads from the primary. An error of
    /// `CALL` and `DO` is one of these: what they have committed before it is there.
    pub async fn write(&mut self, statement: &str, params: &[ParameterValue]) -> Result<Answer<Rows>, Problem> {
        self.write_after(Vec::new(), Reason::Write, statement, params).await
    }

    /// The rows as a type of the app; under the rules of [`Session::write`], since a text does not say what it does.
    ///
    /// # Errors
    /// As [`Session::write`], and [`Problem::UnusableRow`] where a column does not fit.
    pub async fn query_as<T: FromRow>(
        &mut self,
        statement: &str,
        params: &[ParameterValue],
    ) -> Result<Vec<T>, Problem> {
        Ok(self.write(statement, params).await?.value.to_vec()?)
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    fn plan(&self) -> Plan {
        let state = self.state.borrow();
        match (&state.seen, state.bookmark) {
            (Seen::Server(kind, connection), _) => Plan::Same(*kind, connection.clone()),
            (Seen::Primary(_), _) => Plan::Primary(Reason::SameSession),
            (Seen::Nothing, Bookmark::Nothing | Bookmark::At(_)) => Plan::Nearest,
            (Seen::Nothing, Bookmark::Primary | Bookmark::Until(_)) => Plan::Primary(Reason::BookmarkPrimary),
        }
    }

    /// What a database must have to answer; nothing where the session has been on the primary itself.
    fn position(&self) -> Option<Position> {
        let state = self.state.borrow();
        match (&state.seen, state.bookmark) {
            (Seen::Nothing | Seen::Server(..), Bookmark::At(position)) => Some(position),
            (Seen::Primary(_), _) | (_, Bookmark::Nothing | Bookmark::Primary | Bookmark::Until(_)) => None,
        }
    }

    async fn read_by(&self, plan: Plan, statement: &str, params: &[ParameterValue]) -> Result<Answer<Rows>, Problem> {
        let query =
            async |connection: &Connection| Ok((connection.query(statement, params).await?, connection.clone()));
        let mut tried = Vec::new();
        let mut why = None;
        // The primary too is asked: `DATABASE_URL` may lead to a replica since a failover, or to the old primary.
        let position = self.position();
        let scope = match plan {
            Plan::Nearest => Scope::Any,
            Plan::Primary(reason) => {
                why = Some(reason);
                Scope::Primary
            }
            Plan::Same(kind, connection) => {
                match self.on_same(kind, &connection, query(&connection)).await {
                    Ok((value, _)) => return Ok(Answer { value, kind, reason: Reason::SameSession, tried }),
                    Err(failure) => {
                        connection.poison();
                        let by_primary = kind == CandidateKind::Configured;
                        let refused = by_primary && Recovery::after(&failure) == Recovery::Fail;
                        why = Some(Reason::after(&failure));
                        tried.push(Attempt { kind, failure });
                        if refused {
                            return self.refused(tried, statement, params).await;
                        }
                    }
                }
                Scope::Primary
            }
        };
        // `DATABASE_URL` may lead to a replica, of which nobody knows what it has not replayed. A session that has just
        // written there knows better.
        let must_be_primary = scope == Scope::Primary && why != Some(Reason::SameSession);
        let requirement = Requirement::new(position, must_be_primary);
        let run = async |kind, connection: &Connection| {
            self.require(&requirement, kind, connection).await?;
            query(connection).await
        };
        match self.database.reader().answer(self.end, scope, run).await {
            Ok(Answer { value: (value, connection), kind, reason, tried: more }) => {
                tried.extend(more);
                let answer = Answer { value, kind, reason: why.unwrap_or(reason), tried };
                self.remember(kind, connection);
                self.database.log_fallback(&answer, None, self.began);
                Ok(answer)
            }
            Err(mut no_answer) => {
                tried.append(&mut no_answer.tried);
                self.refused(tried, statement, params).await
            }
        }
    }

    /// The result of a statement where the session has read before, for as long as that answers: it may have gone since.
    async fn on_same<T>(
        &self,
        kind: CandidateKind,
        connection: &Connection,
        statement: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let reader = self.database.reader();
        let target = reader.targets.iter().find(|target| target.candidate.kind == kind).unwrap_or(reader.primary());
        let (began, end) = (Instant::now(), self.end);
        let silence = end.saturating_duration_since(began).min(self.database.config().deadline / 4);
        let time = Time { began, end, silence, place: Place::Other };
        let _statement = connection.begin();
        match target.while_it_answers(statement, time, None).await {
            Ok(value) => Ok(value),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::HeldUp) => Err(Failure::TimedOut),
        }
    }

    /// A read without an answer: it is a write, or there is none.
    async fn refused(
        &self,
        tried: Vec<Attempt>,
        statement: &str,
        params: &[ParameterValue],
    ) -> Result<Answer<Rows>, Problem> {
        if is_read_only(&tried) {
            return self.write_after(tried, Reason::ReadThatWrites, statement, params).await;
        }
        Err(self.database.problem(NoAnswer { tried }, self.began))
    }

    pub(crate) fn remember(&self, kind: CandidateKind, connection: Connection) {
        let mut state = self.state.borrow_mut();
        // What was written is newer than any read.
        if !matches!(state.seen, Seen::Primary(_)) {
            state.seen = Seen::Server(kind, connection);
        }
    }
}

/// Whether the primary has refused a read since it writes.
fn is_read_only(tried: &[Attempt]) -> bool {
    tried.last().is_some_and(|last| {
        last.kind == CandidateKind::Configured && last.failure.sqlstate() == Some(SqlState::READ_ONLY_SQL_TRANSACTION)
    })
}
