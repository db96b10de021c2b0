//! Transactions, on connections that nothing else uses: Spin's pool hands a transaction that was left open on to the next
//! request, so each begins with a ROLLBACK.

use std::cell::RefCell;
use std::time::Instant;

use crate::instance::signal::spawn_later;
use crate::outcome::{Attempt, NoAnswer};
use crate::problem::Problem;
use crate::rows::FromRow;
use crate::rules::candidates::CandidateKind;
use crate::rules::failure::Failure;
use crate::rules::write::Outcome;
use crate::session::Session;
use crate::spin::postgres::{Connection, ParameterValue, Rows};
use crate::write;

/// An open transaction on the primary: see [`Session::transaction`].
pub struct Transaction {
    connection: Connection,
    end: Instant,
    /// Why it can only be rolled back.
    failed: RefCell<Option<Failure>>,
    guard: RollBackOnDrop,
}

/// A transaction that is given up, since its future was dropped, is rolled back all the same.
struct RollBackOnDrop(RefCell<Option<Connection>>);

impl Drop for RollBackOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            spawn_later(async move {
                let _ = connection.execute("ROLLBACK", &[]).await;
            });
        }
    }
}

impl Session {
    /// Runs several statements on the primary as one: all of them, or nothing. `run` is run once; where it returns an
    /// error, or a statement in it has failed, everything is rolled back.
    ///
    /// # Errors
    /// That of `run`, or as [`Session::write`] for the transaction as a whole: nothing of it is there unless it is
    /// [`Problem::OutcomeUnknown`].
    pub async fn transaction<T>(
        &self,
        run: impl AsyncFnOnce(&Transaction) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let transaction = self.begin().await?;
        let result = run(&transaction).await;
        let failed = transaction.failed.borrow().clone();
        match (result, failed) {
            (Ok(value), None) => {
                // Whatever comes of it, nothing is left to roll back.
                transaction.guard.0.take();
                match write::within(self.end, transaction.connection.execute("COMMIT", &[])).await {
                    Ok(_) => {
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
        let begin = async {
            let connection = write::open(url, self.end).await?;
            write::within(self.end, connection.execute("ROLLBACK", &[])).await?;
            write::within(self.end, connection.execute("BEGIN", &[])).await?;
            Ok(connection)
        };
        let connection = begin.await.map_err(|failure| self.not_sent(failure, &[]))?;
        let guard = RollBackOnDrop(RefCell::new(Some(connection.clone())));
        Ok(Transaction { connection, end: self.end, failed: RefCell::new(None), guard })
    }
}

impl Transaction {
    /// Runs one statement in the transaction.
    ///
    /// # Errors
    /// After any error nothing of the transaction will be there: [`Problem::RolledBack`] where repeating it may help,
    /// [`Problem::PrimaryReadOnly`], otherwise [`Problem::StatementFailed`].
    pub async fn query(&self, statement: &str, params: &[ParameterValue]) -> Result<Rows, Problem> {
        if let Some(failure) = &*self.failed.borrow() {
            return Err(problem_of(failure.clone()));
        }
        let rows = write::within(self.end, self.connection.query(statement, params)).await;
        rows.map_err(|failure| {
            self.failed.replace(Some(failure.clone()));
            problem_of(failure)
        })
    }

    /// The same, with the rows as a type of the app.
    ///
    /// # Errors
    /// As [`Transaction::query`], and [`Problem::UnusableRow`] where a column does not fit.
    pub async fn query_as<T: FromRow>(&self, statement: &str, params: &[ParameterValue]) -> Result<Vec<T>, Problem> {
        Ok(self.query(statement, params).await?.to_vec()?)
    }

    async fn roll_back(&self) {
        if let Some(connection) = self.guard.0.take() {
            // Where this fails, the server has ended the transaction, or ends it when it has been idle for long enough.
            let _ = write::within(self.end, connection.execute("ROLLBACK", &[])).await;
        }
    }
}

/// COMMIT is not sent after a failure, so nothing of it is there, also where the connection was lost.
fn problem_of(failure: Failure) -> Problem {
    let outcome = Outcome::after(&failure);
    let no_answer = NoAnswer { tried: vec![Attempt { kind: CandidateKind::Configured, failure }] };
    match outcome {
        Outcome::RolledBack { retryable: true } | Outcome::Unknown => Problem::RolledBack(no_answer),
        Outcome::RolledBack { retryable: false } | Outcome::NotSent => Problem::StatementFailed(no_answer),
        Outcome::ReadOnly => Problem::PrimaryReadOnly(no_answer),
    }
}
