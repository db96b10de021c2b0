// A guestbook: which request gets what.

import { Hono } from "hono";

import { edit, list, sign } from "./entries.js";
import { readEntry } from "./input.js";
import { page } from "./page.js";
import { methodNotAllowed, notFound, problemOf } from "./problem.js";

const app = new Hono();

app.get("/", (c) => c.html(page(list())));
app.all("/", () => methodNotAllowed("GET, HEAD"));

app.get("/entries", (c) => c.json(list()));
app.post("/entries", async (c) => {
  const { entry, isForm } = await readEntry(c.req.raw);
  return written(c, sign(entry), isForm, 201);
});
app.all("/entries", () => methodNotAllowed("GET, HEAD, POST"));

// No id has more digits.
app.post("/entries/:id{[0-9]{1,18}}", async (c) => {
  const { entry, isForm } = await readEntry(c.req.raw);
  return written(c, edit(c.req.param("id"), entry), isForm, 200);
});
app.all("/entries/:id{[0-9]{1,18}}", () => methodNotAllowed("POST"));

app.notFound(() => notFound());
app.onError((error) => problemOf(error));

// A browser is sent back to the page.
function written(c, entry, isForm, status) {
  if (!entry) {
    return notFound();
  }
  return isForm ? c.redirect("/", 303) : c.json(entry, status);
}

addEventListener("fetch", (event) => event.respondWith(app.fetch(event.request)));
