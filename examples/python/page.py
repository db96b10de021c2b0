"""The page: the entries, each with a form to edit it, and a form for another one."""

from html import escape

from entries import Entry


def render(entries: list[Entry]) -> str:
    return f"""<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Guestbook</title>
  </head>
  <body>
    <h1>Guestbook</h1>
    <form method="post" action="/entries">{fields("", "", "Sign")}</form>
    <ul>
      {"".join(map(item, entries))}
    </ul>
  </body>
</html>"""


def item(entry: Entry) -> str:
    edited = f", edited {entry.edited}" if entry.edited else ""
    return f"""<li>
      <strong>{escape(entry.name)}</strong>: {escape(entry.message)}
      <small>{entry.signed}{edited}</small>
      <details>
        <summary>Edit</summary>
        <form method="post" action="/entries/{entry.id}">
          {fields(entry.name, entry.message, "Save")}
        </form>
      </details>
    </li>"""


def fields(name: str, message: str, action: str) -> str:
    name, message = escape(name), escape(message)
    return f"""
      <p>
        <label>Name <input name="name" required maxlength="80" value="{name}"></label>
      </p>
      <p>
        <label>Message
          <textarea name="message" required maxlength="1000">{message}</textarea>
        </label>
      </p>
      <p><button>{action}</button></p>"""
