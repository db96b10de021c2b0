//! The functions of `spin:postgres@4.2.0` over the pool (Spin `crates/factor-outbound-pg/src/host.rs`).

use std::pin::pin;
use std::sync::Arc;

use deadpool_postgres::Object;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::bindings::spin::postgres::postgres as wit;
use super::bindings::spin::postgres::postgres::{Column, DbValue, Error, ParameterValue, QueryError, RowSet};
use super::resources::{Builder, Connection};
use super::rows::Rows;
use super::state::{Spin, State};
use super::values;

type Row = Vec<DbValue>;
type QueryParts = (Vec<Column>, mpsc::Receiver<Row>, oneshot::Receiver<Result<(), Error>>);
/// Rows that Spin reads ahead of the guest.
const ROWS_AHEAD: usize = 4;

impl wit::Host for State {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<Error> {
        Ok(error)
    }
}

impl wit::HostConnection for State {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, Error> {
        let opened = self.outbound.open(&address, None).await?;
        self.push(Connection(opened))
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<RowSet, Error> {
        let client = self.client(&connection)?;
        let (columns, rows) = stream(&client, &statement, &params).await?;
        let mut rows = pin!(rows);
        // Spin makes a text of an error here, and only here: the SQLSTATE is lost.
        let found = rows
            .as_mut()
            .try_collect()
            .await
            .map_err(|error| Error::QueryFailed(QueryError::Text(format!("{:?}", anyhow::Error::from(error)))))?;
        // Spin waits for columns, which come with the first row: without a row for ever (Spin issue 3671, and still so
        // in 4.1.0-pre0), because who would send them is still there. The asynchronous function does not.
        Ok(RowSet { columns: columns.await.unwrap_or_default(), rows: found })
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        execute(&*self.client(&connection)?, &statement, &params).await
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send> wit::HostConnectionWithStore<T> for Spin {
    async fn open_async(accessor: &Accessor<T, Self>, address: String) -> Result<Resource<Connection>, Error> {
        let outbound = accessor.with(|mut access| Arc::clone(&access.get().outbound));
        let opened = outbound.open(&address, None).await?;
        accessor.with(|mut access| access.get().push(Connection(opened)))
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<(Vec<Column>, StreamReader<Row>, FutureReader<Result<(), Error>>), Error> {
        let client = accessor.with(|mut access| access.get().client(&connection))?;
        let (columns, rows, result) = query(&client, &statement, &params).await?;
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, Rows(rows)).map_err(other)?;
            let result = FutureReader::new(&mut access, result).map_err(other)?;
            Ok((columns, rows, result))
        })
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        let client = accessor.with(|mut access| access.get().client(&connection))?;
        execute(&client, &statement, &params).await
    }
}

impl wit::HostConnectionBuilder for State {
    async fn new(&mut self, address: String) -> wasmtime::Result<Resource<Builder>> {
        Ok(self.table.push(Builder { address, root_ca: None })?)
    }

    async fn set_ca_root(&mut self, builder: Resource<Builder>, certificate: String) -> Result<(), Error> {
        if let Err(error) = native_tls::Certificate::from_pem(certificate.as_bytes()) {
            return Err(Error::Other(format!("invalid root certificate: {error}")));
        }
        self.table.get_mut(&builder).map_err(other)?.root_ca = Some(certificate);
        Ok(())
    }

    async fn build(&mut self, builder: Resource<Builder>) -> Result<Resource<Connection>, Error> {
        let (address, root_ca) = self.builder(&builder)?;
        let opened = self.outbound.open(&address, root_ca.as_deref()).await?;
        self.push(Connection(opened))
    }

    async fn drop(&mut self, builder: Resource<Builder>) -> wasmtime::Result<()> {
        self.table.delete(builder)?;
        Ok(())
    }
}

impl<T: Send> wit::HostConnectionBuilderWithStore<T> for Spin {
    async fn build_async(
        accessor: &Accessor<T, Self>,
        builder: Resource<Builder>,
    ) -> Result<Resource<Connection>, Error> {
        let (outbound, (address, root_ca)) = accessor.with(|mut access| {
            let state = access.get();
            state.builder(&builder).map(|parts| (Arc::clone(&state.outbound), parts))
        })?;
        let opened = outbound.open(&address, root_ca.as_deref()).await?;
        accessor.with(|mut access| access.get().push(Connection(opened)))
    }
}

impl State {
    fn push(&mut self, connection: Connection) -> Result<Resource<Connection>, Error> {
        self.table.push(connection).map_err(|_| Error::ConnectionFailed("too many connections".to_owned()))
    }

    fn client(&mut self, connection: &Resource<Connection>) -> Result<Arc<Object>, Error> {
        let found = self.table.get(connection);
        found
            .map(|Connection(client)| Arc::clone(client))
            .map_err(|_| Error::ConnectionFailed("no connection found".to_owned()))
    }

    fn builder(&mut self, builder: &Resource<Builder>) -> Result<(String, Option<String>), Error> {
        let found = self.table.get(builder);
        found
            .map(|builder| (builder.address.clone(), builder.root_ca.clone()))
            .map_err(|_| Error::ConnectionFailed("no builder found".to_owned()))
    }
}

/// Rows as they come from the server. Their columns are read off the first.
async fn stream(
    client: &Object,
    statement: &str,
    params: &[ParameterValue],
) -> Result<(oneshot::Receiver<Vec<Column>>, impl Stream<Item = Result<Row, Error>> + Send + 'static), Error> {
    let params = parameters(params).map_err(|error| Error::BadParameter(format!("{error:?}")))?;
    // Spin's text for the statement makes the driver prepare it each time.
    let rows = client.query_raw(statement, params).await.map_err(query_failed)?;
    let (columns_to, columns) = oneshot::channel();
    let mut columns_to = Some(columns_to);
    let rows = rows.map_err(query_failed).map(move |row| {
        let row = row?;
        if let Some(columns_to) = columns_to.take() {
            let _ = columns_to.send(values::columns(&row));
        }
        values::values(&row).map_err(|error| Error::QueryFailed(QueryError::Text(format!("{error:?}"))))
    });
    Ok((columns, rows))
}

/// Returns when the first row is there or there is none, because the columns are read off it. Later errors arrive
/// only in the result.
async fn query(client: &Object, statement: &str, params: &[ParameterValue]) -> Result<QueryParts, Error> {
    let (columns, rows) = stream(client, statement, params).await?;
    let (rows_to, rows_from) = mpsc::channel(ROWS_AHEAD);
    let (result_to, result) = oneshot::channel();
    tokio::spawn(async move {
        let mut rows = pin!(rows);
        let outcome = loop {
            let row = tokio::select! {
                biased;
                // The guest is not interested any more.
                () = rows_to.closed() => break Ok(()),
                row = rows.next() => row,
            };
            match row {
                None => break Ok(()),
                Some(Err(error)) => break Err(error),
                Some(Ok(row)) => {
                    if rows_to.send(row).await.is_err() {
                        break Err(Error::QueryFailed(QueryError::Text("async error: channel closed".to_owned())));
                    }
                }
            }
        };
        let _ = result_to.send(outcome);
    });
    Ok((columns.await.unwrap_or_default(), rows_from, result))
}

async fn execute(client: &Object, statement: &str, params: &[ParameterValue]) -> Result<u64, Error> {
    let params = parameters(params).map_err(|error| Error::ValueConversionFailed(format!("{error:?}")))?;
    client.execute_raw(statement, params).await.map_err(query_failed)
}

fn parameters(params: &[ParameterValue]) -> anyhow::Result<Vec<values::Parameter>> {
    params.iter().map(values::parameter).collect()
}

fn query_failed(error: tokio_postgres::Error) -> Error {
    let as_text = format!("{error:?}");
    Error::QueryFailed(match error.as_db_error() {
        None => QueryError::Text(as_text),
        Some(error) => QueryError::DbError(wit::DbError {
            as_text,
            severity: error.severity().to_owned(),
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            extras: extras(error),
        }),
    })
}

fn extras(error: &tokio_postgres::error::DbError) -> Vec<(String, String)> {
    [
        ("column", error.column().map(str::to_owned)),
        ("constraint", error.constraint().map(str::to_owned)),
        ("routine", error.routine().map(str::to_owned)),
        ("hint", error.hint().map(str::to_owned)),
        ("table", error.table().map(str::to_owned)),
        ("datatype", error.datatype().map(str::to_owned)),
        ("schema", error.schema().map(str::to_owned)),
        ("file", error.file().map(str::to_owned)),
        ("line", error.line().map(|line| line.to_string())),
        ("where_", error.where_().map(str::to_owned)),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)))
    .collect()
}

fn other(error: impl std::fmt::Display) -> Error {
    Error::Other(error.to_string())
}
