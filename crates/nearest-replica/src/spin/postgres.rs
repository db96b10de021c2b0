//! Spin's Postgres interface with our own failures: the only file that touches `spin_sdk::pg`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

#[cfg(test)]
pub(crate) use spin_sdk::pg::DbDataType;
use spin_sdk::pg::{self, PgError, QueryError};
pub use spin_sdk::pg::{Column, DbValue, Decode, ParameterValue};

use crate::rules::database_url::DatabaseUrl;
use crate::rules::failure::Failure;

/// The rows of an answer.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub(crate) columns: Rc<Vec<Column>>,
    pub(crate) rows: Vec<Vec<DbValue>>,
}

/// A connection out of Spin's pool; it goes back when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Connection(Rc<Shared>);

struct Shared {
    connection: pg::Connection,
    poisoned: Cell<bool>,
    statements: RefCell<VecDeque<u64>>,
    last_statement: Cell<u64>,
}

/// A statement on a connection that several may use at once, until it is dropped.
pub(crate) struct Statement {
    connection: Connection,
    number: u64,
}

impl Statement {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        self.connection.0.statements.borrow_mut().retain(|number| *number != self.number);
    }
}

impl Connection {
    /// Takes a connection out of the pool that Spin keeps for exactly this URL, or opens one. Waits without bound.
    ///
    /// # Errors
    /// Spin tells why only as text.
    pub(crate) async fn open(url: &DatabaseUrl) -> Result<Self, Failure> {
        let opened = pg::Connection::open(url.expose_secret()).await;
        let shared = |connection| {
            let (poisoned, statements, last_statement) = (Cell::new(false), RefCell::default(), Cell::new(0));
            Self(Rc::new(Shared { connection, poisoned, statements, last_statement }))
        };
        opened.map(shared).map_err(|error| match error {
            pg::Error::PgError(PgError::ConnectionFailed(text)) => Failure::from_open(&text),
            // Spin could not read `allowed_outbound_hosts`.
            pg::Error::PgError(PgError::Other(text)) => Failure::NotPermitted(text),
            other @ (pg::Error::Decode(_) | pg::Error::PgError(_)) => failure(other),
        })
    }

    /// A statement begins.
    pub(crate) fn begin(&self) -> Statement {
        let number = self.0.last_statement.get() + 1;
        self.0.last_statement.set(number);
        self.0.statements.borrow_mut().push_back(number);
        Statement { connection: self.clone(), number }
    }

    /// The number of the statement that the others wait for.
    pub(crate) fn first_statement(&self) -> Option<u64> {
        self.0.statements.borrow().front().copied()
    }

    /// Keeps later requests off this connection: it saw an error or a time-out.
    pub(crate) fn poison(&self) {
        self.0.poisoned.set(true);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.0.poisoned.get()
    }

    /// Runs one statement and tells how many rows it returned or changed. Cheaper than taking the rows: the host hands over
    /// each by itself, then their end, then the result. Waits without bound.
    ///
    /// # Errors
    /// By SQLSTATE where the server has spoken.
    pub(crate) async fn execute(&self, statement: &str, params: &[ParameterValue]) -> Result<u64, Failure> {
        self.0.connection.execute(statement, params.to_vec()).await.map_err(failure)
    }

    /// Runs one statement and collects its rows. An error after the first row counts as well: it comes only with the
    /// result behind the rows. Waits without bound.
    ///
    /// # Errors
    /// By SQLSTATE where the server has spoken.
    pub(crate) async fn query(&self, statement: &str, params: &[ParameterValue]) -> Result<Rows, Failure> {
        let mut result = self.0.connection.query(statement, params.to_vec()).await.map_err(failure)?;
        let mut rows = Vec::new();
        while let Some(row) = result.rows().next().await {
            rows.push(row);
        }
        let columns = Rc::new(result.columns().to_vec());
        result.result().await.map_err(failure)?;
        Ok(Rows { columns, rows })
    }
}

fn failure(error: pg::Error) -> Failure {
    match error {
        pg::Error::PgError(PgError::QueryFailed(QueryError::DbError(error))) => {
            Failure::from_server(&error.severity, &error.code, error.message)
        }
        pg::Error::PgError(PgError::QueryFailed(QueryError::Text(text))) => Failure::from_query(&text),
        pg::Error::PgError(PgError::ConnectionFailed(text)) => Failure::Lost(text),
        pg::Error::PgError(PgError::BadParameter(text)) => Failure::NotSent(text),
        pg::Error::PgError(PgError::ValueConversionFailed(text) | PgError::Other(text)) | pg::Error::Decode(text) => {
            Failure::Unusable(text)
        }
    }
}
