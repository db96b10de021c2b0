// Postgres: a connection for each query, and rows as objects.

import { get } from "fermyon:spin/variables@2.0.0";
import { Connection } from "spin:postgres/postgres@3.0.0";

/** The database did not take the connection, or refused the statement. */
export class DatabaseError extends Error {
  constructor({ tag, val }) {
    super(`${tag}: ${val}`);
    this.isUnavailable = tag === "connection-failed";
  }
}

export const text = (value) => ({ tag: "str", val: value });
export const integer = (value) => ({ tag: "int64", val: BigInt(value) });

/** The rows that a statement gives. */
export function query(statement, parameters = []) {
  const address = get("database_url");
  // Always one row: before spinframework/spin#3673 Spin never answers where there is none.
  const asJson = `WITH found AS (${statement}) SELECT coalesce(json_agg(found), '[]')::text FROM found`;
  try {
    const { rows } = Connection.open(address).query(asJson, parameters);
    return JSON.parse(rows[0][0].val);
  } catch (error) {
    // What Spin answers with is in the payload.
    throw error.payload ? new DatabaseError(error.payload) : error;
  }
}
