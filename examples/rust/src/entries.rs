//! What the guestbook does with its database.

use nearest_replica::{Answer, FromRow, ParameterValue, Problem, Rows, Session, from_row};
use serde::Serialize;

/// An entry, as a row and as JSON.
#[derive(Serialize)]
pub(crate) struct Entry {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) message: String,
    pub(crate) signed: String,
    pub(crate) edited: Option<String>,
}

from_row!(Entry { id, name, message, signed, edited });

/// What a guest writes.
pub(crate) struct NewEntry {
    pub(crate) name: String,
    pub(crate) message: String,
}

macro_rules! columns {
    () => {
        "id, name, message, to_char(signed AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS signed, \
         to_char(edited AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS edited"
    };
}

/// The latest entries.
pub(crate) async fn list(session: &mut Session) -> Result<Answer<Vec<Entry>>, Problem> {
    typed(session.read(concat!("SELECT ", columns!(), " FROM entries ORDER BY id DESC LIMIT 50"), &[]).await?)
}

/// Adds an entry.
pub(crate) async fn sign(session: &mut Session, entry: &NewEntry) -> Result<Answer<Vec<Entry>>, Problem> {
    let statement = concat!("INSERT INTO entries (name, message) VALUES ($1, $2) RETURNING ", columns!());
    typed(session.write(statement, &entry.params()).await?)
}

/// Changes an entry; nothing where there is none of this number.
pub(crate) async fn edit(session: &mut Session, id: i64, entry: &NewEntry) -> Result<Answer<Vec<Entry>>, Problem> {
    let statement =
        concat!("UPDATE entries SET name = $1, message = $2, edited = now() WHERE id = $3 RETURNING ", columns!());
    let mut params = entry.params();
    params.push(ParameterValue::Int64(id));
    typed(session.write(statement, &params).await?)
}

impl NewEntry {
    fn params(&self) -> Vec<ParameterValue> {
        vec![ParameterValue::Str(self.name.clone()), ParameterValue::Str(self.message.clone())]
    }
}

fn typed<T: FromRow>(answer: Answer<Rows>) -> Result<Answer<Vec<T>>, Problem> {
    answer.try_map(|rows| Ok(rows.to_vec()?))
}
