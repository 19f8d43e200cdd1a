// The sidecar's page: its requests, its sessions, and the memcached nodes.

import { Spark, Status, Table, Tile, ago, bytes, el, fill, number, percent, remember, seconds, share, text, time } from "./status.js";

const by = (id) => document.getElementById(id);
const rate = (value) => [number(value), "/s"];
const part = (value) => (value === null || value === undefined ? ["–", ""] : [number(value * 100), "%"]);

const tiles = {
  requests: new Tile("Requests", [{ format: rate }]),
  latency: new Tile("Answered within", [{ key: "p50", format: seconds }, { key: "p99", format: seconds }]),
  cache: new Tile("Cache hits", [{ format: part }]),
  locks: new Tile("Waits for a session's lock", [{ format: rate }]),
};
by("tiles").append(...Object.values(tiles).map((tile) => tile.element));

let history = null;

const counts = Object.fromEntries(
  [
    ["loaded", "Handed to Tomcat"],
    ["stored", "Stored"],
    ["touched", "Touched"],
    ["ended", "Ended"],
    ["held", "Locked now"],
    ["remembered", "Remembered here"],
    ["outbox", "In the outbox"],
    ["errors", "Errors (5xx)"],
  ].map(([name, label]) => {
    const [value, note] = [el("span"), el("small")];
    by("counts").append(el("div", {}, el("dt", {}, label), el("dd", {}, value, note)));
    return [name, { value, note }];
  }),
);

const nodes = new Table([
  { label: "Node", class: "left name", cell: (node) => node.name },
  { label: "State", class: "left state", update: state },
  { label: "p50", cell: (node) => time(node.round_trips.p50) },
  { label: "p99", cell: (node) => time(node.round_trips.p99) },
  { label: "Errors", update: errors },
  { label: "Round trips", class: "wide", update: trips },
]);
by("nodes").append(nodes.element);

function state(cell, node) {
  const word = node.up ? (node.retired ? "retired" : "up") : "down";
  fill(cell, word, el("span", { class: `pill ${node.up ? (node.retired ? "warn" : "good") : "bad"}` }, word));
}

function errors(cell, node) {
  const now = node.round_trips.rates[0];
  cell.classList.toggle("bad", now > 0);
  text(cell, `${number(now)}\u202f/s`);
}

function trips(cell, node, row) {
  row.spark ??= new Spark();
  row.rate ??= el("span");
  if (!row.rate.isConnected) cell.append(row.rate, row.spark.element);
  text(row.rate, `${number(node.round_trips.rate)}\u202f/s`);
  row.spark.update((history.nodes[node.at] ?? []).map((point) => point.rate));
}

function show(status) {
  const down = status.nodes.filter((node) => !node.up).map((node) => node.name);
  const all = status.nodes.length === 1 ? "1 node" : `${status.nodes.length} nodes`;
  const word = down.length ? `${down.join(", ")} down` : status.outbox.sessions ? `${status.outbox.sessions} in the outbox` : `${all} up`;
  text(by("state"), word);
  by("state").className = `pill ${down.length ? "bad" : status.outbox.sessions ? "warn" : "good"}`;
  document.title = `${down.length ? "● " : ""}${word} – Satchel sidecar`;
  const facts = [`farm ${status.farm}`, `Tomcat ${status.tomcat}`, `version ${status.version}`, `up ${ago(status.started)}`, bytes(status.memory)];
  fill(by("facts"), facts.join(), ...facts.map((fact) => el("span", {}, fact)));
  text(by("contexts"), `of ${status.contexts.join(", ")}`);

  const { requests, locks, cache } = history;
  tiles.requests.update([requests.map((point) => point.rate)], `${number(status.requests.level)} in flight`);
  tiles.latency.update([requests.map((point) => point.p50), requests.map((point) => point.p99)], `${time(status.in_tomcat.p50)} and ${time(status.in_tomcat.p99)} of it in Tomcat`);
  tiles.cache.update([cache.map((point) => share(...point.rates))], `of ${number(status.cache.rates[0] + status.cache.rates[1])} look-ups a second`);
  tiles.locks.update([locks.map((point) => point.rate)], status.locks.p99 ? `for ${time(status.locks.p99)} at most (p99)` : "");

  const [loaded, stored, touched, ended] = status.sessions.rates;
  const rates = { loaded, stored, touched, ended, errors: status.requests.rates[0] };
  for (const [name, value] of Object.entries(rates)) text(counts[name].value, `${number(value)}\u202f/s`);
  text(counts.stored.note, status.sessions.p99 ? `p99 ${time(status.sessions.p99)}` : "");
  text(counts.held.value, number(status.locks.level));
  text(counts.remembered.value, number(status.sessions.level));
  text(counts.remembered.note, `${bytes(status.cache.level)} of ${bytes(status.cache_max)}`);
  const { sessions, bytes: size, max } = status.outbox;
  text(counts.outbox.value, number(sessions));
  text(counts.outbox.note, `${bytes(size)} of ${bytes(max)}`);
  counts.outbox.value.classList.toggle("bad-text", sessions > 0);
  counts.errors.value.classList.toggle("bad-text", rates.errors > 0);

  nodes.update(status.nodes.map((node, at) => ({ ...node, at })), (node) => node.name);

  const troubles = status.troubles.map(({ name, count, means }) =>
    el("li", {}, el("b", {}, count.toLocaleString("en")), el("code", {}, name), el("span", {}, means)),
  );
  fill(by("troubles"), JSON.stringify(status.troubles), ...troubles);
  by("troubles").hidden = troubles.length === 0;
  by("calm").hidden = troubles.length > 0;
}

new Status({
  whole(status) {
    history = status.history;
  },
  next(status) {
    for (const name of ["requests", "in_tomcat", "locks", "sessions", "cache"]) remember(history[name], status[name]);
    status.nodes.forEach((node, at) => {
      history.nodes[at] ??= [];
      remember(history.nodes[at], node.round_trips);
    });
  },
  show,
});
