"""What the guestbook does with its database."""

from dataclasses import dataclass

import database
from guest_input import NewEntry


@dataclass
class Entry:
    """An entry, as a row and as JSON."""

    id: int
    name: str
    message: str
    signed: str
    edited: str | None


COLUMNS = """id, name, message,
    to_char(signed AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS signed,
    to_char(edited AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS edited"""
LATEST = f"SELECT {COLUMNS} FROM entries ORDER BY id DESC LIMIT 50"
SIGN = f"INSERT INTO entries (name, message) VALUES ($1, $2) RETURNING {COLUMNS}"
EDIT = f"""UPDATE entries SET name = $1, message = $2, edited = now() WHERE id = $3
    RETURNING {COLUMNS}"""


async def latest() -> list[Entry]:
    """The latest entries."""
    return [Entry(**row) for row in await database.query(LATEST)]


async def sign(entry: NewEntry) -> Entry | None:
    """Adds an entry."""
    return first(await database.query(SIGN, entry.name, entry.message))


async def edit(number: int, entry: NewEntry) -> Entry | None:
    """Changes an entry; nothing where there is none of this number."""
    return first(await database.query(EDIT, entry.name, entry.message, number))


def first(rows: list[database.Row]) -> Entry | None:
    return Entry(**rows[0]) if rows else None
