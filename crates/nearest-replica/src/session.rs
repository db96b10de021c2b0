//! A session: what one user does within one request, and what was seen in the requests before it. Reads run on the
//! nearest database that has seen as much as the session has, writes on the primary.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::database::Database;
use crate::instance::timer::pause;
use crate::outcome::{Answer, Attempt, NoAnswer};
use crate::position::{check, mint};
use crate::problem::Problem;
use crate::read::Scope;
use crate::rows::FromRow;
use crate::rules::bookmark::{Bookmark, Freshness, Position};
use crate::rules::budget::answer_by;
use crate::rules::candidates::CandidateKind;
use crate::rules::failure::Failure;
use crate::rules::reason::Reason;
use crate::rules::recovery::Recovery;
use crate::rules::sqlstate::SqlState;
use crate::rules::write::Outcome;
use crate::spin::postgres::{Connection, ParameterValue, Rows};
use crate::write;

/// Between two looks at a replica that has not replayed enough yet.
const POLL: Duration = Duration::from_millis(20);

/// For how long a session reads from the primary after a write to a database that does not say how far its log is.
const WITHOUT_POSITIONS: Duration = Duration::from_secs(10);

/// One user within one request: begun by [`Database::session`].
///
/// Time never runs backwards in it: a read is never answered by a database that has seen less than what the session has
/// written or read before, in this request or in those whose [bookmark](Session::bookmark) it was begun with.
pub struct Session {
    database: Database,
    pub(crate) end: Instant,
    began: Instant,
    state: RefCell<State>,
}

struct State {
    /// What the session was begun with.
    bookmark: Bookmark,
    /// Where it has read or written since.
    seen: Seen,
    wrote: bool,
}

/// Where a session has been.
#[derive(Clone)]
enum Seen {
    Nothing,
    /// One server: the same as long as it is the same connection. A name may lead to several.
    Server(CandidateKind, Connection),
    /// The primary; with the connection of the last write.
    Primary(Option<Connection>),
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
        let state = State { bookmark: Bookmark::parse(bookmark), seen: Seen::Nothing, wrote: false };
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
    pub async fn read(&self, statement: &str, params: &[ParameterValue]) -> Result<Answer<Rows>, Problem> {
        self.read_by(self.plan(), statement, params).await
    }

    /// The same on the primary: for what must not be decided on an old view.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub async fn read_from_primary(&self, statement: &str, params: &[ParameterValue]) -> Result<Answer<Rows>, Problem> {
        self.read_by(Plan::Primary(Reason::Asked), statement, params).await
    }

    /// Runs one statement that may write, on the primary, once: whatever may have happened is never repeated.
    ///
    /// # Errors
    /// They say what is known. [`Problem::Unavailable`]: nothing was sent. [`Problem::StatementFailed`] and
    /// [`Problem::RolledBack`]: nothing of it is there; the latter may well succeed when it is repeated.
    /// [`Problem::PrimaryReadOnly`]: the primary takes no writes now. [`Problem::OutcomeUnknown`]: it happened or it did
    /// not, and until that is final the session reads from the primary.
    pub async fn write(&self, statement: &str, params: &[ParameterValue]) -> Result<Answer<Rows>, Problem> {
        self.write_after(Vec::new(), Reason::Write, statement, params).await
    }

    /// The rows as a type of the app; under the rules of [`Session::write`], since a text does not say what it does.
    ///
    /// # Errors
    /// As [`Session::write`], and [`Problem::UnusableRow`] where a column does not fit.
    pub async fn query_as<T: FromRow>(&self, statement: &str, params: &[ParameterValue]) -> Result<Vec<T>, Problem> {
        Ok(self.write(statement, params).await?.value.to_vec()?)
    }

    /// Whether the session has written, or may have.
    #[must_use]
    pub fn wrote(&self) -> bool {
        self.state.borrow().wrote
    }

    /// What to begin the user's next session with, so that it sees what this one has seen: at most 64 ASCII characters,
    /// nothing secret. Asks the database where the session has last been, in two round trips, so call it once, at the end,
    /// and only where it is needed: after a write.
    pub async fn bookmark(&self) -> String {
        let (bookmark, seen, wrote) = {
            let state = self.state.borrow();
            (state.bookmark, state.seen.clone(), state.wrote)
        };
        if let Bookmark::Until(at) = bookmark
            && at > now()
        {
            return bookmark.to_string();
        }
        let minted = match seen {
            Seen::Nothing => return bookmark.to_string(),
            Seen::Server(_, connection) => write::within(self.end, mint(&connection)).await,
            Seen::Primary(connection) => self.mint_on_primary(connection).await,
        };
        match minted {
            Ok(position) => Bookmark::At(position).to_string(),
            Err(failure) if Recovery::after(&failure) == Recovery::Fail => {
                self.database.log_no_bookmarks(&failure);
                if wrote { until(WITHOUT_POSITIONS).to_string() } else { String::new() }
            }
            Err(_) if wrote => until(self.database.config().deadline).to_string(),
            Err(_) => Bookmark::Primary.to_string(),
        }
    }

    async fn mint_on_primary(&self, connection: Option<Connection>) -> Result<Position, Failure> {
        if let Some(connection) = connection
            && let Ok(position) = write::within(self.end, mint(&connection)).await
        {
            return Ok(position);
        }
        let run = async |_, connection: &Connection| mint(connection).await;
        let answer = self.database.reader().answer(self.end, Scope::Primary, run).await;
        answer.map(|answer| answer.value).map_err(|mut no_answer| {
            let last = no_answer.tried.pop();
            last.map_or(Failure::TimedOut, |attempt| attempt.failure)
        })
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
        let used = RefCell::new(None);
        let query = async |connection: &Connection| {
            let rows = connection.query(statement, params).await?;
            used.replace(Some(connection.clone()));
            Ok(rows)
        };
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
                // It may have gone since: leave time for the primary.
                let now = Instant::now();
                let half = now + self.end.saturating_duration_since(now) / 2;
                match write::within(half, query(&connection)).await {
                    Ok(value) => {
                        return Ok(Answer { value, kind, reason: Reason::SameSession, tried });
                    }
                    Err(failure) => {
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
        // One wait for all candidates.
        let wait_until = Cell::new(None);
        let run = async |kind, connection: &Connection| {
            if let Some(position) = position {
                let until = wait_until.get().unwrap_or(Instant::now() + self.database.config().bookmark_wait);
                wait_until.set(Some(until));
                self.wait_for(position, until, kind, connection).await?;
            }
            query(connection).await
        };
        match self.database.reader().answer(self.end, scope, run).await {
            Ok(mut answer) => {
                tried.append(&mut answer.tried);
                answer.tried = tried;
                answer.reason = why.unwrap_or(answer.reason);
                self.remember(answer.kind, used.take());
                self.database.log_fallback(&answer, None, self.began);
                Ok(answer)
            }
            Err(mut no_answer) => {
                tried.append(&mut no_answer.tried);
                self.refused(tried, statement, params).await
            }
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

    /// Returns when a server has seen what the session has.
    ///
    /// # Errors
    /// [`Failure::Behind`] when it has not at `end`.
    async fn wait_for(
        &self,
        position: Position,
        end: Instant,
        kind: CandidateKind,
        connection: &Connection,
    ) -> Result<(), Failure> {
        loop {
            let freshness = match check(position, connection).await {
                Ok(freshness) => freshness,
                // It does not say. Of all, the primary is sure to have it.
                Err(failure) if Recovery::after(&failure) == Recovery::Fail => {
                    self.database.log_no_bookmarks(&failure);
                    Freshness::ForeignPrimary
                }
                Err(failure) => return Err(failure),
            };
            match freshness {
                Freshness::Fresh => return Ok(()),
                Freshness::ForeignPrimary if kind == CandidateKind::Configured => return Ok(()),
                Freshness::Behind if Instant::now() < end => pause(POLL).await,
                Freshness::Behind | Freshness::ForeignReplica | Freshness::ForeignPrimary => {
                    return Err(Failure::Behind);
                }
            }
        }
    }

    fn remember(&self, kind: CandidateKind, connection: Option<Connection>) {
        let mut state = self.state.borrow_mut();
        // What was written is newer than any read.
        if !matches!(state.seen, Seen::Primary(_)) {
            state.seen = match connection {
                Some(connection) => Seen::Server(kind, connection),
                None => Seen::Primary(None),
            };
        }
    }

    async fn write_after(
        &self,
        tried: Vec<Attempt>,
        reason: Reason,
        statement: &str,
        params: &[ParameterValue],
    ) -> Result<Answer<Rows>, Problem> {
        let opened = write::open(&self.database.reader().primary().candidate.url, self.end).await;
        let connection = opened.map_err(|failure| self.not_sent(failure, &tried))?;
        match write::within(self.end, connection.query(statement, params)).await {
            Ok(value) => {
                self.has_written(Some(connection));
                let answer = Answer { value, kind: CandidateKind::Configured, reason, tried };
                self.database.log_fallback(&answer, None, self.began);
                Ok(answer)
            }
            Err(failure) => Err(self.failed(failure, &tried)),
        }
    }

    /// After a write, or one that may have happened.
    pub(crate) fn has_written(&self, connection: Option<Connection>) {
        let mut state = self.state.borrow_mut();
        state.wrote = true;
        state.seen = Seen::Primary(connection);
    }

    /// Nothing was sent.
    pub(crate) fn not_sent(&self, failure: Failure, tried: &[Attempt]) -> Problem {
        self.database.problem(NoAnswer { tried: and(tried, failure) }, self.began)
    }

    /// What is known about a write that failed after it was sent.
    pub(crate) fn failed(&self, failure: Failure, tried: &[Attempt]) -> Problem {
        let outcome = Outcome::after(&failure);
        let no_answer = NoAnswer { tried: and(tried, failure) };
        let problem = match outcome {
            Outcome::RolledBack { retryable: true } => Problem::RolledBack(no_answer),
            Outcome::RolledBack { retryable: false } | Outcome::NotSent => Problem::StatementFailed(no_answer),
            Outcome::ReadOnly => Problem::PrimaryReadOnly(no_answer),
            Outcome::Unknown => {
                self.has_written(None);
                // The server ends a statement before the deadline of its request is over.
                self.state.borrow_mut().bookmark = until(self.database.config().deadline);
                Problem::OutcomeUnknown(no_answer)
            }
        };
        self.log(&problem);
        problem
    }

    pub(crate) fn log(&self, problem: &Problem) {
        self.database.log_problem(problem, self.began);
    }
}

fn and(tried: &[Attempt], failure: Failure) -> Vec<Attempt> {
    let mut tried = tried.to_vec();
    tried.push(Attempt { kind: CandidateKind::Configured, failure });
    tried
}

/// Whether the primary has refused a read since it writes.
fn is_read_only(tried: &[Attempt]) -> bool {
    tried.last().is_some_and(|last| {
        last.kind == CandidateKind::Configured && last.failure.sqlstate() == Some(SqlState::READ_ONLY_SQL_TRANSACTION)
    })
}

/// From the primary, for as long.
fn until(wait: Duration) -> Bookmark {
    Bookmark::Until(now() + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2))
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
