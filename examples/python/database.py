"""Postgres: a connection for each query, and rows as dictionaries."""

from typing import Any

from componentize_py_types import Err
from spin_sdk import variables
from spin_sdk.postgres import Connection, DbValue, Error, ParameterValue
from spin_sdk.util import collect
from spin_sdk.wit.imports.spin_postgres_postgres_4_2_0 import (
    Error_ConnectionFailed,
    ParameterValue_Int64,
    ParameterValue_Str,
)

type Row = dict[str, Any]


class DatabaseError(Exception):
    """The database did not take the connection, or refused the statement."""

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.is_unavailable = isinstance(error, Error_ConnectionFailed)


async def query(statement: str, *parameters: str | int) -> list[Row]:
    """The rows that a statement gives."""
    address = await variables.get("database_url")
    try:
        with await Connection.open(address) as connection:
            columns, rows, result = await connection.query(
                statement, [to_parameter(value) for value in parameters]
            )
            names = [column.name for column in columns]
            values: list[list[DbValue]] = await collect((rows, result))
    except Err as error:
        raise DatabaseError(error.value) from error
    return [dict(zip(names, map(from_value, row))) for row in values]


def to_parameter(value: str | int) -> ParameterValue:
    if isinstance(value, str):
        return ParameterValue_Str(value)
    return ParameterValue_Int64(value)


def from_value(value: DbValue) -> Any:
    # NULL is the one without a value.
    return getattr(value, "value", None)
