//! A write in a session, and what the session knows afterwards.

use super::Session;
use super::state::{Seen, until, until_final};
use crate::outcome::{Answer, Attempt, NoAnswer};
use crate::problem::Problem;
use crate::rules::candidates::CandidateKind;
use crate::rules::failure::Failure;
use crate::rules::reason::Reason;
use crate::rules::statement::transaction::may_commit_in_parts;
use crate::rules::write::Outcome;
use crate::spin::postgres::{Connection, ParameterValue, Rows};
use crate::write::{open, within};

impl Session {
    /// Lets go of the connection of the last write: who waits for another one must not hold one.
    pub(crate) fn release(&self) {
        if let Seen::Primary(connection) = &mut self.state.borrow_mut().seen {
            connection.take();
        }
    }

    pub(super) async fn write_after(
        &self,
        tried: Vec<Attempt>,
        reason: Reason,
        statement: &str,
        params: &[ParameterValue],
    ) -> Result<Answer<Rows>, Problem> {
        self.release();
        let opened = open(&self.database.reader().write_url, self.end).await;
        let connection = opened.map_err(|failure| self.not_sent(failure, &tried))?;
        match self.sent(within(self.end, connection.query(statement, params))).await {
            Ok(value) => {
                self.has_written(Some(connection));
                let answer = Answer { value, kind: CandidateKind::Configured, reason, tried };
                self.database.log_fallback(&answer, None, self.began);
                Ok(answer)
            }
            Err(failure) if may_commit_in_parts(statement) => Err(self.failed_in_parts(failure, &tried)),
            Err(failure) => Err(self.failed(failure, &tried)),
        }
    }

    /// The result of what was sent to be written. Given up before that is there, it may happen all the same.
    pub(crate) async fn sent<T>(&self, result: impl Future<Output = T>) -> T {
        let guard = UnknownOnDrop(Some(self));
        let result = result.await;
        guard.disarm();
        result
    }

    /// It happened, it did not, or it still may.
    fn is_unknown(&self) {
        self.has_written(None);
        self.state.borrow_mut().bookmark = until(until_final(self.database.config()));
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
        if outcome == Outcome::Unknown {
            self.is_unknown();
        }
        let problem = Problem::of_write(outcome, NoAnswer { tried: and(tried, failure) });
        self.log(&problem);
        problem
    }

    /// What is known about a write that has failed, and may have committed a part of itself before: if it has come to its
    /// end, that is there now.
    fn failed_in_parts(&self, failure: Failure, tried: &[Attempt]) -> Problem {
        match Outcome::after(&failure) {
            Outcome::Unknown | Outcome::NotSent => return self.failed(failure, tried),
            Outcome::RolledBack { .. } | Outcome::ReadOnly => self.has_written(None),
        }
        let problem = Problem::of_write(Outcome::Unknown, NoAnswer { tried: and(tried, failure) });
        self.log(&problem);
        problem
    }

    pub(crate) fn log(&self, problem: &Problem) {
        self.database.log_problem(problem, self.began);
    }
}

/// A write that is given up may still happen.
struct UnknownOnDrop<'a>(Option<&'a Session>);

impl UnknownOnDrop<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for UnknownOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.0 {
            session.is_unknown();
        }
    }
}

fn and(tried: &[Attempt], failure: Failure) -> Vec<Attempt> {
    let mut tried = tried.to_vec();
    tried.push(Attempt { kind: CandidateKind::Configured, failure });
    tried
}
