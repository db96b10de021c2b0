// What a guest is told when there is no answer: problem details (RFC 9457).

import { DatabaseError } from "./database.js";
import { BadInput } from "./input.js";

export function notFound() {
  return problem("not-found", "There is nothing at this path", 404);
}

export function methodNotAllowed(allowed) {
  const detail = `this path has other methods: use ${allowed}`;
  return problem("bad-input", BAD_INPUT, 405, { detail, headers: { allow: allowed } });
}

/** The answer to what was thrown. Only the log says what a database has said. */
export function problemOf(error) {
  if (error instanceof BadInput) {
    return problem("bad-input", BAD_INPUT, error.status, { detail: error.message });
  }
  console.error(error.message);
  if (!(error instanceof DatabaseError)) {
    return problem("failed", "Something went wrong", 500);
  }
  return error.isUnavailable
    ? problem("database-unavailable", "The database did not answer", 503, { headers: { "retry-after": "1" } })
    : problem("statement-failed", "The database refused the statement", 500);
}

const BAD_INPUT = "This cannot be written into the guestbook";

function problem(name, title, status, { detail, headers } = {}) {
  const body = { type: `urn:problem-type:guestbook:${name}`, title, status, detail };
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}
