//! Transactions that read: on one view of one database, which may be a replica.

use std::time::Instant;

use super::Transaction;
use super::begin::begin;
use crate::instance::target::{Stop, Target, Time};
use crate::outcome::Answer;
use crate::problem::Problem;
use crate::read::for_transactions;
use crate::rules::failure::Failure;
use crate::session::Session;
use crate::spin::postgres::Connection;
use crate::write::within;

/// All that it reads is of the same moment.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

impl Session {
    /// Runs several statements that read on one view of the database: the nearest one that has seen what the session has,
    /// under the rules of [`Session::read`]. Where that fails, `run` is run again on the next one, from its beginning.
    ///
    /// # Errors
    /// That of `run` where no statement has failed; else as [`Session::read`]. A statement that writes is
    /// [`Problem::StatementFailed`] (25006).
    pub async fn read_transaction<T>(
        &mut self,
        run: impl AsyncFn(&mut Transaction) -> Result<T, Problem>,
    ) -> Result<Answer<T>, Problem> {
        let (scope, why, requirement) = self.requirement().await;
        self.release();
        let deadline = self.database().config().deadline;
        let attempt = async |target: &Target, time: Time| {
            let silent_until = time.silent_until(time.began);
            let url = for_transactions(&target.read_url, deadline);
            let may_begin =
                async |connection: &Connection| self.require(&requirement, target.candidate.kind, connection).await;
            let open = async || within(silent_until, Connection::open(&url)).await;
            let mut transaction = Transaction::new(begin(silent_until, open, may_begin, BEGIN).await?, time.end);
            // However long it takes, as long as the candidate answers others.
            let time = Time { began: Instant::now(), ..time };
            let result = async { Ok(run(&mut transaction).await) };
            let result = match target.while_it_answers(result, time, None).await {
                Ok(result) => result,
                Err(Stop::Failed(failure)) => return Err(failure),
                Err(Stop::HeldUp) => return Err(Failure::TimedOut),
            };
            let failed = transaction.failure();
            transaction.roll_back().await;
            match failed {
                Some(failure) => Err(failure),
                None => Ok((result, transaction.connection.clone())),
            }
        };
        let reader = self.database().reader();
        match reader.first_that_answers(self.end, scope, attempt).await {
            Ok(Answer { value: (result, connection), kind, reason, tried }) => {
                self.remember(kind, connection);
                let answer = Answer { value: result?, kind, reason: why.unwrap_or(reason), tried };
                self.database().log_fallback(&answer, None, self.began);
                Ok(answer)
            }
            Err(no_answer) => Err(self.database().problem(no_answer, self.began)),
        }
    }
}
