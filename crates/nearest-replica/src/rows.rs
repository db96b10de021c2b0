//! Rows with the names and types of their columns, and how they become values of Rust.

use std::fmt;

use crate::spin::postgres::{Column, DbValue, Decode, Rows};

/// One row, by the names of its columns.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a [Column],
    values: &'a [DbValue],
}

/// A type that is made of a row. [`from_row!`](crate::from_row) implements it for a struct whose fields are named as the
/// columns.
pub trait FromRow: Sized {
    /// Takes what it needs out of a row.
    ///
    /// # Errors
    /// Names the first column that cannot be used.
    fn from_row(row: Row<'_>) -> Result<Self, ColumnError>;
}

/// A column that cannot be used as the app wants to. Its text holds names and types, and no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnError {
    /// There is no column of this name.
    Missing {
        /// The name.
        column: String,
        /// Those that there are.
        columns: Vec<String>,
    },
    /// It is NULL, and the type has no place for that: write `Option`.
    Null {
        /// The name.
        column: String,
        /// The wanted type, as Rust writes it.
        wanted: &'static str,
    },
    /// It is of a type that does not fit.
    Type {
        /// The name.
        column: String,
        /// The wanted type, as Rust writes it.
        wanted: &'static str,
        /// The column's type, as Spin names it.
        found: String,
    },
}

impl Rows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The columns; none where the statement has no result.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row { columns: &self.columns, values })
    }

    /// All of them as a type of the app.
    ///
    /// # Errors
    /// Names the first column that cannot be used.
    pub fn to_vec<T: FromRow>(&self) -> Result<Vec<T>, ColumnError> {
        self.iter().map(T::from_row).collect()
    }
}

impl<'a> Row<'a> {
    /// The value of the first column of this name.
    ///
    /// # Errors
    /// Where there is none, it is NULL, or of another type.
    pub fn get<T: Decode>(&self, name: &str) -> Result<T, ColumnError> {
        let Some(index) = self.columns.iter().position(|column| column.name == name) else {
            let columns = self.columns.iter().map(|column| column.name.clone()).collect();
            return Err(ColumnError::Missing { column: name.to_owned(), columns });
        };
        let value = &self.values[index];
        T::decode(value).map_err(|_| {
            let (column, wanted) = (name.to_owned(), std::any::type_name::<T>());
            if matches!(value, DbValue::DbNull) {
                ColumnError::Null { column, wanted }
            } else {
                ColumnError::Type { column, wanted, found: format!("{:?}", self.columns[index].data_type) }
            }
        })
    }

    /// The values in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &'a [DbValue] {
        self.values
    }
}

impl fmt::Display for ColumnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { column, columns } if columns.is_empty() => {
                write!(f, "there is no column `{column}`: the statement has no result")
            }
            Self::Missing { column, columns } => {
                write!(f, "there is no column `{column}`: write one of `{}`", columns.join("`, `"))
            }
            Self::Null { column, wanted } => {
                write!(f, "the column `{column}` is NULL, which `{wanted}` has no place for: write `Option<{wanted}>`")
            }
            Self::Type { column, wanted, found } => {
                write!(f, "the column `{column}` is of the type {found}, which is no `{wanted}`")
            }
        }
    }
}

impl std::error::Error for ColumnError {}

/// Implements [`FromRow`] for a struct: each field is the column of its name.
///
/// ```
/// struct Entry {
///     id: i64,
///     name: String,
///     edited: Option<String>,
/// }
///
/// nearest_replica::from_row!(Entry { id, name, edited });
/// ```
#[macro_export]
macro_rules! from_row {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::FromRow for $name {
            fn from_row(row: $crate::Row<'_>) -> ::std::result::Result<Self, $crate::ColumnError> {
                ::std::result::Result::Ok(Self { $($field: row.get(::std::stringify!($field))?),+ })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::spin::postgres::DbDataType;

    #[derive(Debug, PartialEq)]
    struct Entry {
        id: i64,
        name: Option<String>,
    }

    crate::from_row!(Entry { id, name });

    fn rows(names: &[&str], values: Vec<DbValue>) -> Rows {
        let column = |name: &&str| Column { name: (*name).to_owned(), data_type: DbDataType::Int64 };
        Rows { columns: Rc::new(names.iter().map(column).collect()), rows: vec![values] }
    }

    #[test]
    fn a_row_becomes_a_struct_by_the_names_of_its_columns() {
        let found = rows(&["name", "id"], vec![DbValue::DbNull, DbValue::Int64(7)]).to_vec::<Entry>();
        assert_eq!(found, Ok(vec![Entry { id: 7, name: None }]));
    }

    #[test]
    fn a_column_that_is_missing_null_or_of_another_type_is_named_with_what_to_write() {
        let text = |rows: Rows| rows.to_vec::<Entry>().unwrap_err().to_string();
        let missing = text(rows(&["name", "key"], vec![DbValue::DbNull, DbValue::Int64(7)]));
        assert_eq!(missing, "there is no column `id`: write one of `name`, `key`");
        let null = text(rows(&["id"], vec![DbValue::DbNull]));
        assert_eq!(null, "the column `id` is NULL, which `i64` has no place for: write `Option<i64>`");
        let other = text(rows(&["id"], vec![DbValue::Str("7".to_owned())]));
        assert_eq!(other, "the column `id` is of the type DbDataType::Int64, which is no `i64`");
    }
}
