"""What a guest sends: a form or JSON, with every kind of bad input named."""

import json
from dataclasses import dataclass
from json.scanner import py_make_scanner
from typing import Self
from urllib.parse import parse_qs

from spin_sdk.http import Request

LONGEST_BODY = 16 * 1024
# A body that is nested deep must end with an error, not with the component: the scanner
# of `json.loads` is in C, and overflows WebAssembly's stack.
DECODER = json.JSONDecoder()
DECODER.scan_once = py_make_scanner(DECODER)
EXPECTED = 'the body is not {"name": "...", "message": "..."}'


class BadInput(Exception):
    """What is wrong with it, and the status that says so."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass
class NewEntry:
    """What a guest writes."""

    name: str
    message: str


@dataclass
class Input:
    """What a guest has sent, and whether from a browser's form."""

    entry: NewEntry
    is_form: bool

    @classmethod
    def of(cls, request: Request) -> Self:
        body = request.body or b""
        if len(body) > LONGEST_BODY:
            raise BadInput(
                413, f"the body is too long: send at most {LONGEST_BODY} bytes"
            )
        content_type = request.headers.get("content-type", "")
        media_type = content_type.partition(";")[0].strip().lower()
        match media_type:
            case "application/x-www-form-urlencoded":
                fields = from_form(body)
            case "application/json":
                fields = from_json(body)
            case _:
                raise BadInput(
                    415,
                    f"the content type is {json.dumps(media_type)}: "
                    "send application/json or application/x-www-form-urlencoded",
                )
        entry = NewEntry(
            name=checked("name", fields["name"], 80),
            message=checked("message", fields["message"], 1000),
        )
        return cls(entry, is_form=media_type != "application/json")


def from_form(body: bytes) -> dict[str, str]:
    form = parse_qs(body.decode(errors="replace"))
    return {field: form.get(field, [""])[0] for field in ("name", "message")}


def from_json(body: bytes) -> dict[str, str]:
    try:
        fields = DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise BadInput(400, f"{EXPECTED}: {error}") from error
    for field in ("name", "message"):
        if not isinstance(fields, dict) or field not in fields:
            raise BadInput(400, f"{EXPECTED}: missing field `{field}`")
        if not isinstance(fields[field], str):
            raise BadInput(400, f"{EXPECTED}: `{field}` is not a string")
    return fields


def checked(field: str, value: str, longest: int) -> str:
    """A text that the schema takes. Postgres has no place for a NUL in one."""
    # A browser counts a line break as one character, and sends two.
    text = value.strip().replace("\r\n", "\n")
    if not 1 <= len(text) <= longest or "\0" in text or not is_unicode(text):
        raise BadInput(
            400, f"`{field}` must have 1 to {longest} characters, and no NUL"
        )
    return text


def is_unicode(text: str) -> bool:
    """JSON can have half a character, such as "\\ud800", which no database takes."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
