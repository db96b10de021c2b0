"""What goes back to the guest; what went wrong as problem details (RFC 9457)."""

from dataclasses import asdict
from json import dumps
from typing import Any

from spin_sdk.http import Response

from database import DatabaseError
from guest_input import BadInput

BAD_INPUT = "This cannot be written into the guestbook"


def html(page: str) -> Response:
    return Response(200, {"content-type": "text/html; charset=utf-8"}, page.encode())


def json(status: int, value: Any) -> Response:
    return Response(status, {"content-type": "application/json"}, to_json(value))


def see_other(location: str) -> Response:
    return Response(303, {"location": location}, None)


def not_found() -> Response:
    return problem("not-found", "There is nothing at this path", 404)


def method_not_allowed(allowed: str) -> Response:
    detail = f"this path has other methods: use {allowed}"
    return problem("bad-input", BAD_INPUT, 405, detail, {"allow": allowed})


def bad_input(bad: BadInput) -> Response:
    return problem("bad-input", BAD_INPUT, bad.status, str(bad))


def database_failed(error: DatabaseError) -> Response:
    if error.is_unavailable:
        title = "The database did not answer"
        return problem("database-unavailable", title, 503, headers={"retry-after": "1"})
    return problem("statement-failed", "The database refused the statement", 500)


def problem(
    name: str,
    title: str,
    status: int,
    detail: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    kind = f"urn:problem-type:guestbook:{name}"
    body: dict[str, Any] = {"type": kind, "title": title, "status": status}
    if detail:
        body["detail"] = detail
    content_type = {"content-type": "application/problem+json"}
    return Response(status, content_type | (headers or {}), to_json(body))


def to_json(value: Any) -> bytes:
    text = dumps(value, default=asdict, ensure_ascii=False, separators=(",", ":"))
    return text.encode()
