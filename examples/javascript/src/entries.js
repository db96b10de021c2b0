// What the guestbook does with its database.

import { integer, query, text } from "./database.js";

const COLUMNS = `id, name, message,
  to_char(signed AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS signed,
  to_char(edited AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS edited`;

/** The latest entries. */
export function list() {
  return query(`SELECT ${COLUMNS} FROM entries ORDER BY id DESC LIMIT 50`);
}

/** Adds an entry. */
export function sign({ name, message }) {
  const statement = `INSERT INTO entries (name, message) VALUES ($1, $2) RETURNING ${COLUMNS}`;
  return query(statement, [text(name), text(message)])[0];
}

/** Changes an entry; undefined where there is none of this number. */
export function edit(id, { name, message }) {
  const statement = `UPDATE entries SET name = $1, message = $2, edited = now() WHERE id = $3 RETURNING ${COLUMNS}`;
  return query(statement, [text(name), text(message), integer(id)])[0];
}
