//! Transactions, on connections that nothing else uses: all of it or nothing on the primary.

mod begin;
mod read;

use std::cell::{Cell, RefCell};
use std::time::Instant;

use self::begin::{RollBackOnDrop, begin};
use crate::outcome::{Attempt, NoAnswer};
use crate::problem::Problem;
use crate::rows::FromRow;
use crate::rules::candidates::CandidateKind;
use crate::rules::failure::Failure;
use crate::rules::write::Outcome;
use crate::session::Session;
use crate::spin::postgres::{Connection, ParameterValue, Rows};
use crate::write;

/// An open transaction: see [`Session::transaction`] and [`Session::read_transaction`].
pub struct Transaction {
    connection: Connection,
    end: Instant,
    /// Why it can only be rolled back.
    failed: RefCell<Option<Failure>>,
    /// Statements that were begun and have not come to an end; also those that the app has given up.
    open: Cell<usize>,
    guard: RollBackOnDrop,
}

impl Session {
    /// Runs several statements on the primary as one: all of them, or nothing. `run` is run once; where it returns an
    /// error, or a statement in it has failed, everything is rolled back. Given up during its COMMIT, it is unknown to the
    /// session whether it happened.
    ///
    /// The session is borrowed meanwhile, so that no transaction is nested in it: each holds a connection, and where many
    /// wait for a second one, none is left for any of them. Two sessions of one request can do that to each other all the
    /// same.
    ///
    /// ```compile_fail,E0501
    /// # use nearest_replica::{Problem, Session};
    /// async fn nested(session: &mut Session) -> Result<(), Problem> {
    ///     session.transaction(async |_| session.transaction(async |_| Ok(())).await).await
    /// }
    /// ```
    ///
    /// # Errors
    /// That of `run`, or as [`Session::write`] for the transaction as a whole: nothing of it is there unless it is
    /// [`Problem::OutcomeUnknown`].
    pub async fn transaction<T>(
        &mut self,
        run: impl AsyncFnOnce(&mut Transaction) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut transaction = self.begin().await?;
        let result = run(&mut transaction).await;
        match (result, transaction.failure()) {
            (Ok(value), None) => {
                let commit = write::within(self.end, transaction.connection.execute("COMMIT", &[]));
                match self.sent(commit).await {
                    Ok(_) => {
                        transaction.guard.disarm();
                        self.has_written(Some(transaction.connection.clone()));
                        Ok(value)
                    }
                    Err(failure) => Err(self.failed(failure, &[])),
                }
            }
            // The app went on all the same.
            (Ok(_), Some(failure)) => {
                transaction.roll_back().await;
                let problem = problem_of(failure);
                self.log(&problem);
                Err(problem)
            }
            (Err(problem), failed) => {
                transaction.roll_back().await;
                if let Some(failure) = failed {
                    self.log(&problem_of(failure));
                }
                Err(problem)
            }
        }
    }

    async fn begin(&self) -> Result<Transaction, Problem> {
        let url = &self.database().reader().transaction_url;
        self.release();
        let begun = begin(self.end, async || write::open(url, self.end).await, async |_| Ok(()), "BEGIN").await;
        Ok(Transaction::new(begun.map_err(|failure| self.not_sent(failure, &[]))?, self.end))
    }
}

impl Transaction {
    fn new((connection, guard): (Connection, RollBackOnDrop), end: Instant) -> Self {
        Self { connection, end, failed: RefCell::new(None), open: Cell::new(0), guard }
    }

    /// Runs one statement in the transaction. Statements run in the order of the calls: two at once do not compile.
    ///
    /// # Errors
    /// After any error nothing of the transaction will be there: [`Problem::RolledBack`] where repeating it may help,
    /// [`Problem::PrimaryReadOnly`], otherwise [`Problem::StatementFailed`].
    pub async fn query(&mut self, statement: &str, params: &[ParameterValue]) -> Result<Rows, Problem> {
        if let Some(failure) = &*self.failed.borrow() {
            return Err(problem_of(failure.clone()));
        }
        self.open.set(self.open.get() + 1);
        let rows = write::within(self.end, self.connection.query(statement, params)).await;
        self.open.set(self.open.get() - 1);
        rows.map_err(|failure| {
            // Those after the first say no more than that there was one.
            problem_of(self.failed.borrow_mut().get_or_insert(failure).clone())
        })
    }

    /// Runs one statement in the transaction, and gives its rows as a type of the app.
    ///
    /// # Errors
    /// As [`Transaction::query`], and [`Problem::UnusableRow`] where a column does not fit.
    pub async fn query_as<T: FromRow>(
        &mut self,
        statement: &str,
        params: &[ParameterValue],
    ) -> Result<Vec<T>, Problem> {
        Ok(self.query(statement, params).await?.to_vec()?)
    }

    /// Why it must not be committed, where that is so.
    fn failure(&self) -> Option<Failure> {
        let in_time = self.open.get() == 0 && Instant::now() < self.end;
        self.failed.borrow().clone().or((!in_time).then_some(Failure::TimedOut))
    }

    /// Where this fails, it is tried again when the transaction is dropped.
    async fn roll_back(&self) {
        if write::within(self.end, self.connection.execute("ROLLBACK", &[])).await.is_ok() {
            self.guard.disarm();
        }
    }
}

/// COMMIT is not sent after a failure, so nothing of it is there, also where the connection was lost.
fn problem_of(failure: Failure) -> Problem {
    let mut outcome = Outcome::after(&failure);
    if outcome == Outcome::Unknown {
        // What Spin cannot convert it cannot convert the next time either.
        outcome = Outcome::RolledBack { retryable: !matches!(failure, Failure::Unusable(_)) };
    }
    let tried = vec![Attempt { kind: CandidateKind::Configured, failure }];
    Problem::of_write(outcome, NoAnswer { tried })
}
