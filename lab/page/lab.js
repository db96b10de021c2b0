// Shows what the lab says, twice a second, and sends what is asked for. Nothing is worked out here that the lab has not
// measured.
"use strict";

const $ = (id) => document.getElementById(id);
/** How many snapshots the curves show. */
const SHOWN = 120;
const curves = new Map();
let said;

/** An element with attributes and children. */
function make(name, attributes = {}, ...children) {
  const svg = ["svg", "polyline"].includes(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else if (value !== false && value !== undefined) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Says something, for everybody: a refusal until the next command, the rest for some seconds. */
function say(text, stays = false) {
  $("said").textContent = text;
  clearTimeout(said);
  if (!stays) said = setTimeout(() => { $("said").textContent = ""; }, 6000);
}

/** Asks the lab to do something; nothing where it refused, which is said. */
async function ask(command) {
  say("");
  try {
    const response = await fetch("commands", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(command),
    });
    const answer = await response.json();
    if (response.ok) return answer;
    say(answer.error, true);
  } catch {
    say("The lab does not answer: is it still running?", true);
  }
  return undefined;
}

const time = (ms) => ms === null ? "–" : ms < 10 ? ms.toFixed(1) : ms < 10000 ? Math.round(ms).toString() : `${Math.round(ms / 1000)} s`;
const size = (bytes) => bytes < 1024 ? `${bytes} B` : bytes < 1048576 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`;

/** The card of a region is made once, so that a button keeps the focus while figures change. */
function card(region) {
  const known = $(`region-${region}`);
  if (known) return known;
  const part = (name) => make("div", { class: name });
  const element = make("section", { id: `region-${region}`, "aria-labelledby": `title-${region}` },
    make("div", { class: "title" }, make("h2", { id: `title-${region}` }, region), make("a", {})),
    make("dl", { class: "figures" }), make("svg", { class: "times", role: "img", preserveAspectRatio: "none", viewBox: `0 0 ${SHOWN} 100` }),
    make("p", { class: "key" }),
    make("h3", {}, "Answers of the last ten seconds, by reason"), make("ul", { class: "bars" }),
    make("h3", {}, "From this Machine to the databases"), make("ul", { class: "links" }),
    make("h3", {}, "The database here"), part("database"));
  $("regions").append(element);
  return element;
}

function figures(element, region) {
  const shown = [["req/s", region.rate.toFixed(1)], ["p50, ms", time(region.p50_ms)], ["p99, ms", time(region.p99_ms)], ["errors", region.failed]];
  element.replaceChildren(...shown.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", { class: name === "errors" && value ? "failed" : "", "data-figure": name }, String(value)))));
}

/** p50 and p99 of the last minute, on a logarithmic scale from 0.1 ms to 10 s. */
function curve(element, key, region) {
  const points = curves.get(region.name) ?? [];
  points.push([region.p50_ms, region.p99_ms]);
  if (points.length > SHOWN) points.shift();
  curves.set(region.name, points);
  const y = (ms) => ms === null ? 100 : 100 - 20 * Math.min(5, Math.max(0, Math.log10(Math.max(ms, 0.1)) + 1));
  const line = (which, name) => make("polyline", {
    class: name,
    points: points.map((point, index) => `${SHOWN - points.length + index},${y(point[which])}`).join(" "),
  });
  element.replaceChildren(line(0, "p50"), line(1, "p99"));
  element.setAttribute("aria-label", `p50 ${time(region.p50_ms)} ms and p99 ${time(region.p99_ms)} ms`);
  if (!key.hasChildNodes()) {
    key.append(make("span", { class: "p50" }, "p50"), " and ", make("span", { class: "p99" }, "p99"), " of a minute, 0.1 ms to 10 s, logarithmic");
  }
}

function reasons(element, region) {
  const all = Object.entries(region.reasons).sort((a, b) => b[1] - a[1]);
  const most = all.reduce((sum, [, count]) => sum + count, 0);
  const rows = all.map(([reason, count]) => {
    const bar = make("span", { class: "bar" });
    bar.style.width = `${100 * count / most}%`;
    return make("li", {}, bar, make("span", {}, reason || "no reason given"), make("span", {}, String(count)));
  });
  const elsewhere = Object.entries(region.answered_in).filter(([machine]) => machine && machine !== region.name);
  rows.push(...elsewhere.map(([machine, count]) => make("li", {}, make("span", {}, `answered by the Machine in ${machine}`), make("span", {}, String(count)))));
  element.replaceChildren(...(rows.length ? rows : [make("li", {}, "none")]));
}

/** Buttons are kept as long as they say the same. */
function button(element, name, label, command, disabled = false) {
  let known = [...element.querySelectorAll("button")].find((other) => other.dataset.do === name);
  if (!known) {
    known = make("button", { type: "button", "data-do": name, onclick: () => known.ariaDisabled === "true" || ask(known.wish) });
    element.append(known);
  }
  known.wish = command;
  // Not `disabled`, which would take the focus away from who has just pressed it.
  known.ariaDisabled = String(disabled);
  if (known.textContent !== label[0]) known.textContent = label[0];
  known.setAttribute("aria-label", label[1]);
}

function links(element, region) {
  region.links.forEach((link, index) => {
    let row = element.children[index];
    if (!row) {
      row = make("li", {}, make("span", { class: "name" }), make("span", { class: "rate" }), make("span", { class: "act" }));
      element.append(row);
    }
    const [name, rate, act] = row.children;
    name.textContent = `${link.to}, ${link.to === region.name ? "here" : `${time(link.one_way_ms)} ms away`}${link.cut ? ", cut" : ""}`;
    name.className = link.cut ? "name cut" : "name";
    rate.textContent = `${link.round_trips.toFixed(1)} round trips/s`;
    const where = { region: region.name, database: link.to };
    button(act, "link", link.cut ? ["Mend", `Mend the link from ${region.name} to ${link.to}`] : ["Cut", `Cut the link from ${region.name} to ${link.to}`],
      { do: link.cut ? "mend" : "cut", ...where });
  });
}

function database(element, database) {
  // Of its words only the first is read out: the others change all the time.
  if (!element.hasChildNodes()) element.append(make("p", {}, make("span", { class: "state", role: "status" }), make("span", {})), make("div", { class: "buttons" }));
  const [text, buttons] = element.children;
  const { name, state, replica } = database;
  const words = [];
  let kind = state;
  if (state === "up") {
    words.push(database.timeline === null ? ", does not stream" : `, timeline ${database.timeline}`);
    if (replica) {
      words.push(database.behind_bytes ? `, ${size(database.behind_bytes)} and ${time(database.behind_ms)} ms behind` : ", up to date");
      if (database.behind_bytes) kind = "up behind";
    }
    if (database.paused) words.push(make("span", { class: "paused" }, ", replay paused"));
    words.push(database.connections === 1 ? ", 1 connection" : `, ${database.connections} connections`);
  }
  element.className = `database ${kind}`;
  const [first, rest] = text.children;
  const role = state === "up" ? (replica ? "replica" : "primary") : state;
  if (first.textContent !== role) first.textContent = role;
  rest.replaceChildren(...words);
  const one = { database: name }, up = state === "up";
  button(buttons, "kill", ["Kill", `Kill the database in ${name}`], { do: "kill", ...one }, state === "down");
  button(buttons, "hang", state === "hanging" ? ["Wake", `Wake the database in ${name}`] : ["Hang", `Hang the database in ${name}`],
    { do: state === "hanging" ? "wake" : "hang", ...one }, state === "down");
  button(buttons, "restart", state === "down" ? ["Start", `Start the database in ${name}`] : ["Restart", `Restart the database in ${name}`], { do: "restart", ...one });
  button(buttons, "replay", database.paused ? ["Resume replay", `Resume replay in ${name}`] : ["Pause replay", `Pause replay in ${name}`],
    { do: database.paused ? "resume" : "pause", ...one }, !(up && replica));
  button(buttons, "promote", ["Promote", `Promote the database in ${name}`], { do: "promote", ...one }, !(up && replica));
}

function request(shown) {
  const stops = shown.hops.map((stop) => stop.why === "routed" ? stop.region : `${stop.region} (${stop.why})`).join(" → ");
  const kind = shown.status === null || shown.status >= 500 ? "error" : shown.from_load ? "" : "own";
  return make("tr", { class: kind },
    make("td", {}, shown.edge), make("td", {}, `${shown.method} ${shown.path}`), make("td", {}, shown.status === null ? "given up" : String(shown.status)),
    make("td", { class: "number" }, time(shown.took_ms)), make("td", {}, stops), make("td", {}, shown.reason));
}

/** A slider: its value in words, and what its moves ask for. */
class Slider {
  constructor(id, words, command) {
    Object.assign(this, { id, words, command, moves: 0, moving: false });
    const input = $(id);
    input.addEventListener("input", () => { this.moving = true; this.show(Number(input.value)); });
    input.addEventListener("change", async () => {
      const move = ++this.moves;
      await ask(command(Number(input.value)));
      // Not where it has been moved again meanwhile.
      if (move === this.moves) this.moving = false;
    });
  }
  show(value) {
    $(`${this.id}-value`).textContent = this.words(value);
    $(this.id).setAttribute("aria-valuetext", this.words(value));
  }
  update(value, most) {
    if (this.moving) return;
    const input = $(this.id);
    input.max = String(most);
    input.value = String(value);
    this.show(value);
  }
}

const sliders = {
  load: new Slider("load", (rate) => `${rate} req/s`, (rate) => ({ do: "load", rate })),
  lag: new Slider("lag", (ms) => ms ? `${(ms / 1000).toFixed(2)} s` : "none", (ms) => ({ do: "lag", ms })),
  distance: new Slider("distance", (scale) => `${scale.toFixed(1)} ×`, (scale) => ({ do: "distance", scale })),
};

const PHASES = {
  "running": "The load is running.",
  "nobody-looks": "No load: nobody looks at this page.",
  "left-alone": "No load: nothing was changed for an hour. Move a slider, and it goes on.",
};

function show(state) {
  if (!state.regions) return;
  $("app").textContent = `${state.app}, on ${state.host}`;
  $("phase").textContent = PHASES[state.phase];
  sliders.load.update(state.load, state.limits.load);
  sliders.lag.update(state.lag_ms, state.limits.lag_ms);
  sliders.distance.update(state.distance, state.limits.distance);
  const region = $("errand").elements.region;
  if (!region.length) region.append(...state.regions.map((one) => make("option", { selected: one.name === "fra" }, one.name)));
  for (const one of state.regions) {
    const element = card(one.name);
    const [title, list, svg, key, , bars, , ways, , place] = element.children;
    title.lastChild.href = one.url;
    title.lastChild.textContent = one.url;
    figures(list, one);
    curve(svg, key, one);
    reasons(bars, one);
    links(ways, one);
    const here = state.databases.find((other) => other.name === one.name);
    if (here) database(place, here);
  }
  $("requests").replaceChildren(...state.requests.map(request));
}

$("errand").addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(event.target));
  const reply = await ask({ do: "send", ...fields });
  if (!reply) return;
  const headers = reply.headers.map(([name, value]) => `${name}: ${value}`).join("\n");
  $("answer").replaceChildren(
    make("p", {}, `${reply.status} after ${time(reply.took_ms)} ms${reply.reason ? `, reason ${reply.reason}` : ""}; ${reply.cookies} cookies kept`),
    make("details", {}, make("summary", {}, "Headers"), make("pre", {}, headers)), make("pre", {}, reply.body));
});
$("forget").addEventListener("click", async () => { if (await ask({ do: "forget" })) say("The visitor has no cookies any more."); });

const source = new EventSource("events");
source.onopen = () => { $("connection").textContent = "live"; };
source.onerror = () => { $("connection").textContent = "The lab does not answer; trying again."; };
source.onmessage = (event) => show(JSON.parse(event.data));
