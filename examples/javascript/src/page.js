// The page: the entries, each with a form to edit it, and a form for another one.

import { html } from "hono/html";

/** Everything that guests have written is escaped by `html`. */
export function page(entries) {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Guestbook</title>
      </head>
      <body>
        <h1>Guestbook</h1>
        <form method="post" action="/entries">${fields("", "", "Sign")}</form>
        <ul>
          ${entries.map(item)}
        </ul>
      </body>
    </html>`;
}

function item({ id, name, message, signed, edited }) {
  return html`<li>
    <strong>${name}</strong>: ${message} <small>${signed}${edited && `, edited ${edited}`}</small>
    <details>
      <summary>Edit</summary>
      <form method="post" action="/entries/${id}">${fields(name, message, "Save")}</form>
    </details>
  </li>`;
}

function fields(name, message, action) {
  return html`<p>
      <label>Name <input name="name" required maxlength="80" value="${name}" /></label>
    </p>
    <p>
      <label>Message <textarea name="message" required maxlength="1000">${message}</textarea></label>
    </p>
    <p><button>${action}</button></p>`;
}
