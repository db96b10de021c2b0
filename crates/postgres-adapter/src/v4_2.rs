//! `spin:postgres/postgres@4.2.0`: functions that wait, with rows as a stream, and functions that block.

use spin_sdk::wit_bindgen::{FutureReader, StreamReader, spawn};

use crate::Adapter;
use crate::bindings::exports::exports::spin::postgres4_2_0::postgres as app;
use crate::bindings::exports::wit_future::{self, FuturePayload};
use crate::bindings::exports::wit_stream::{self, StreamPayload};
use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::connection::{After, Connection, Ran, Server};
use crate::convert::same_types;
use crate::host::{Address, Host, block, builder};

same_types!(crate::bindings::exports::exports::spin::postgres4_2_0::postgres);

type Rows = (Vec<app::Column>, StreamReader<app::Row>, FutureReader<Result<(), app::Error>>);

impl app::Guest for Adapter {
    type Connection = Connection;
    type ConnectionBuilder = Builder;
}

/// A connection that is yet to be opened.
pub(crate) struct Builder(std::cell::RefCell<Address>);

impl app::GuestConnectionBuilder for Builder {
    fn new(address: String) -> Self {
        Self(Address { text: address, ca_root: None }.into())
    }

    fn set_ca_root(&self, certificate: String) -> Result<(), app::Error> {
        let address = Address { ca_root: Some(certificate), ..self.0.borrow().clone() };
        // Spin says at once whether it is one.
        builder(&address).map_err(convert::error)?;
        self.0.replace(address);
        Ok(())
    }

    fn build(&self) -> Result<app::Connection, app::Error> {
        Ok(app::Connection::new(Connection::new(self.0.borrow().clone())))
    }

    fn build_async(&self) -> Result<app::Connection, app::Error> {
        self.build()
    }
}

impl app::GuestConnection for Connection {
    fn open(address: String) -> Result<app::Connection, app::Error> {
        Ok(app::Connection::new(Self::new(Address { text: address, ca_root: None })))
    }

    fn open_async(address: String) -> Result<app::Connection, app::Error> {
        Self::open(address)
    }

    fn query(&self, statement: String, params: Vec<app::ParameterValue>) -> Result<app::RowSet, app::Error> {
        let rows = block(self.query_blocking(&statement, &convert::params(params)));
        rows.map(convert::row_set).map_err(convert::error)
    }

    async fn query_async(&self, statement: String, params: Vec<app::ParameterValue>) -> Result<Rows, app::Error> {
        let params = convert::params(params);
        let run = async |connection: &pg::Connection, server| {
            let answer = connection.query_async(statement.clone(), params.clone()).await?;
            match server {
                Server::Primary => Ok(Answer::Begun(answer)),
                Server::Replica => answer_of_replica(answer).await,
            }
        };
        let Ran { value, after } = self.run(Host::Async, &statement, run).await.map_err(convert::error)?;
        Ok(match value {
            Answer::Begun((columns, rows, result)) if after.is_nothing() => hand_over(columns, rows, result),
            Answer::Begun(answer) => pump(None, answer, after),
            Answer::WithoutColumns(first, answer) => pump(Some(first), answer, after),
            Answer::Empty => empty(),
        })
    }

    fn execute(&self, statement: String, params: Vec<app::ParameterValue>) -> Result<u64, app::Error> {
        block(self.execute_blocking(&statement, &convert::params(params))).map_err(convert::error)
    }

    async fn execute_async(&self, statement: String, params: Vec<app::ParameterValue>) -> Result<u64, app::Error> {
        let params = convert::params(params);
        let run =
            async |connection: &pg::Connection, _| connection.execute_async(statement.clone(), params.clone()).await;
        let ran = self.run(Host::Async, &statement, run).await.map_err(convert::error)?;
        ran.told().await.map_err(convert::error)
    }
}

/// Columns, rows and the result behind them.
type SpinsRows = (Vec<pg::Column>, StreamReader<pg::Row>, FutureReader<Result<(), pg::Error>>);

/// What a statement has brought.
enum Answer {
    /// Nothing of it was taken.
    Begun(SpinsRows),
    /// No row, and no error.
    Empty,
    /// Its first row was taken.
    WithoutColumns(pg::Row, SpinsRows),
}

/// What comes before the first row, the app is not to be told by a replica: Spin has the columns off that row, and where
/// there is none an error is in the result.
async fn answer_of_replica((columns, mut rows, result): SpinsRows) -> Result<Answer, pg::Error> {
    if !columns.is_empty() {
        return Ok(Answer::Begun((columns, rows, result)));
    }
    // `SELECT` without anything has rows without columns.
    match rows.next().await {
        Some(row) => Ok(Answer::WithoutColumns(row, (columns, rows, result))),
        None => result.await.map(|()| Answer::Empty),
    }
}

fn empty() -> Rows {
    let (_, rows) = wit_stream::new();
    let (result_to, result) = wit_future::new(|| Ok(()));
    // What is not written is what it was made with.
    drop(result_to);
    (Vec::new(), rows, result)
}

/// Spin's own stream and result go to the app as they are: to the component model their types are the same, so that no row
/// passes through this component.
fn hand_over(
    columns: Vec<pg::Column>,
    rows: StreamReader<pg::Row>,
    result: FutureReader<Result<(), pg::Error>>,
) -> Rows {
    let rows = StreamReader::new(rows.take_handle(), <app::Row as StreamPayload>::VTABLE);
    // SAFETY: the handle is that of a readable end that nobody else has, of a future with the same type.
    let result = unsafe { FutureReader::new(result.take_handle(), <Result<(), app::Error> as FuturePayload>::VTABLE) };
    (convert::columns(columns), rows, result)
}

/// The rows one by one. Of what may have written, the app sees their end when others on this Machine know of it.
fn pump(first: Option<pg::Row>, (columns, mut rows, result): SpinsRows, after: After) -> Rows {
    let (mut rows_to, rows_from) = wit_stream::new();
    let (result_to, result_from) = wit_future::new(|| Ok(()));
    spawn(async move {
        let mut wanted = true;
        let mut next = first;
        while let Some(row) = if next.is_some() { next.take() } else { rows.next().await } {
            // A write goes on when nobody wants its rows any more.
            if wanted {
                wanted = rows_to.write_one(convert::row(row)).await.is_none();
            }
            if !wanted && after.is_nothing() {
                return;
            }
        }
        let result = match result.await {
            Ok(()) => after.done().await,
            Err(error) => after.failed(&error).await.and(Err(error)),
        };
        drop(rows_to);
        let _ = result_to.write(result.map_err(convert::error)).await;
    });
    (convert::columns(columns), rows_from, result_from)
}
