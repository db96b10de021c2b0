"""A guestbook: which request gets what."""

import logging
import re

from spin_sdk.http import Handler, Request, Response

import entries
import page
import reply
from database import DatabaseError
from entries import Entry
from guest_input import BadInput, Input

log = logging.getLogger(__name__)

# No id has more digits.
ENTRY = re.compile(r"/entries/([0-9]{1,18})")


class HttpHandler(Handler):
    async def handle_request(self, request: Request) -> Response:
        try:
            return await answer(request)
        except BadInput as bad:
            return reply.bad_input(bad)
        except DatabaseError as error:
            # Only the log says what the database has said.
            log.error("%s", error)
            return reply.database_failed(error)


async def answer(request: Request) -> Response:
    path = request.uri.partition("?")[0]
    match request.method, path:
        case "GET" | "HEAD", "/":
            return reply.html(page.render(await entries.latest()))
        case "GET" | "HEAD", "/entries":
            return reply.json(200, await entries.latest())
        case "POST", "/entries":
            guest = Input.of(request)
            return written(await entries.sign(guest.entry), guest, status=201)
        case _, "/":
            return reply.method_not_allowed("GET, HEAD")
        case _, "/entries":
            return reply.method_not_allowed("GET, HEAD, POST")
    entry = ENTRY.fullmatch(path)
    if not entry:
        return reply.not_found()
    if request.method != "POST":
        return reply.method_not_allowed("POST")
    guest = Input.of(request)
    return written(await entries.edit(int(entry[1]), guest.entry), guest, status=200)


def written(entry: Entry | None, guest: Input, status: int) -> Response:
    if not entry:
        return reply.not_found()
    # A browser is sent back to the page.
    return reply.see_other("/") if guest.is_form else reply.json(status, entry)
