// The gateway's page: all requests, the servers of each upstream, and the sidecars beside them.

import { Spark, Status, Table, Tile, ago, bytes, el, fill, number, percent, remember, seconds, share, text, time } from "./status.js";

const by = (id) => document.getElementById(id);
const rate = (value) => [number(value), "/s"];
const count = (value) => [number(value), ""];

const tiles = {
  requests: new Tile("Requests", [{ format: rate }]),
  latency: new Tile("Answered within", [{ key: "p50", format: seconds }, { key: "p99", format: seconds }]),
  errors: new Tile("Errors (5xx)", [{ format: rate }]),
  running: new Tile("Requests in flight", [{ format: count }]),
};
by("tiles").append(...Object.values(tiles).map((tile) => tile.element));

/** What a server's state is called, and how it looks. */
const STATES = {
  up: ["up", "good"],
  drain: ["drained", "warn"],
  down: ["down", ""],
  failed: ["failed", "bad"],
  unhealthy: ["unhealthy", "bad"],
};

/** The token, as long as this page is open and no longer. */
let token = null;
/** The last status. */
let latest = null;
let history = [];
const sparks = new Map();
const groups = new Map();

const out = (server) => server.state === "drain" || server.state === "down";

function state(cell, server) {
  const [word, look] = STATES[server.state];
  const full = server.max_conns > 0 && server.in_flight >= server.max_conns && server.state === "up";
  const children = [el("span", { class: `pill ${full ? "warn" : look}` }, full ? "full" : word)];
  if (server.backup) children.push(el("small", {}, "backup"));
  if (server.said) children.push(el("small", { title: "Said here, and not in the configuration: until the gateway is restarted" }, "by hand"));
  fill(cell, `${word} ${full} ${server.backup} ${server.said}`, ...children);
}

function load(cell, server, row) {
  row.spark ??= new Spark();
  row.rate ??= el("span");
  if (!row.rate.isConnected) cell.append(row.rate, row.spark.element);
  text(row.rate, `${number(server.requests.rate)}\u202f/s`);
  row.spark.update(sparks.get(key(server)) ?? []);
}

function errors(cell, server) {
  cell.classList.toggle("bad", server.requests.rates[0] > 0);
  const now = server.requests.rates[0];
  text(cell, now > 0 ? `${number(now)}\u202f/s` : number(server.errors));
}

function change(cell, server, row) {
  const drains = !out(server);
  fill(cell, String(drains), el("button", { click: () => ask(row.server, drains) }, drains ? "Drain" : "Enable"));
  row.server = server;
}

const key = (server) => `${server.upstream}\n${server.address}`;

function columns(canChange) {
  const all = [
    { label: "Server", class: "left name", cell: (server) => server.address },
    { label: "State", class: "left state", update: state },
    { label: "Weight", cell: (server) => String(server.weight) },
    {
      label: "In flight",
      cell: (server) => (server.max_conns ? `${server.in_flight} of ${server.max_conns}` : String(server.in_flight)),
    },
    { label: "p50", cell: (server) => time(server.requests.p50) },
    { label: "p99", cell: (server) => time(server.requests.p99) },
    { label: "Errors", update: errors },
    { label: "Requests", cell: (server) => server.total.toLocaleString("en") },
    { label: "Rate", class: "wide", update: load },
  ];
  if (canChange) all.push({ label: "", class: "act", update: change });
  return all;
}

const sidecars = new Table([
  { label: "Sidecar", class: "left name", update: link },
  { label: "memcached", class: "left span", update: nodes },
  { label: "Round trip, p99", cell: ({ sidecar }) => sidecar && time(Math.max(...sidecar.nodes.map((node) => node.round_trips.p99 ?? 0)) || null) },
  { label: "Cache hits", cell: ({ sidecar }) => sidecar && percent(share(...sidecar.cache.rates)) },
  { label: "Sessions stored", cell: ({ sidecar }) => sidecar && `${number(sidecar.sessions.rates[1])}\u202f/s` },
  { label: "Lock waits", cell: ({ sidecar }) => sidecar && `${number(sidecar.locks.rate)}\u202f/s` },
  { label: "Remembered", update: remembered },
  { label: "Outbox", update: outbox },
  { label: "To look at", update: troubles },
]);
by("sidecars").append(sidecars.element);

function nodes(cell, { server, sidecar }) {
  if (!sidecar) {
    fill(cell, server.sidecar_error, el("span", { class: "bad-text" }, server.sidecar_error ?? "–"));
    return;
  }
  const word = (node) => `${node.name}${node.up ? "" : " down"}${node.retired ? " retired" : ""}`;
  const pill = (node) => el("span", { class: `pill ${node.up ? "good" : "bad"}` }, word(node));
  fill(cell, sidecar.nodes.map(word).join(), el("span", { class: "nodes" }, ...sidecar.nodes.map(pill)));
}

/** Its own page, if it can be reached from here. */
function link(cell, { server }) {
  fill(cell, server.admin, el("a", { href: `http://${server.admin}/`, rel: "noreferrer" }, server.admin));
}

function remembered(cell, { sidecar }) {
  if (!sidecar) return cell.replaceChildren();
  const [count, size] = [number(sidecar.sessions.level), bytes(sidecar.cache.level)];
  return fill(cell, count + size, count, el("small", { class: "more" }, size));
}

function outbox(cell, { sidecar }) {
  cell.classList.toggle("bad", sidecar?.outbox.sessions > 0);
  text(cell, sidecar ? String(sidecar.outbox.sessions) : "");
}

function troubles(cell, { sidecar }) {
  const all = sidecar?.troubles ?? [];
  const said = all.map(({ name, count }) => `${count} ${name}`);
  text(cell, sidecar ? (all.length ? all.map(({ count }) => count).reduce((a, b) => a + b).toLocaleString("en") : "nothing") : "");
  cell.title = said.join("\n");
  cell.classList.toggle("warn", all.length > 0);
}

function show(status) {
  const servers = status.upstreams.flatMap(({ name, servers }) => servers.map((server) => ({ ...server, upstream: name })));
  const bad = servers.filter(({ state }) => state === "failed" || state === "unhealthy").length;
  const drained = servers.filter(out).length;
  const all = servers.length === 1 ? "1 server" : `${servers.length} servers`;
  const word = bad ? `${bad} of ${all} failed` : drained ? `${drained} of ${all} drained` : `${all} up`;
  text(by("state"), word);
  by("state").className = `pill ${bad ? "bad" : drained ? "warn" : "good"}`;
  document.title = `${bad ? "● " : ""}${word} – Satchel gateway`;
  const facts = [`version ${status.version}`, `up ${ago(status.started)}`, bytes(status.memory)];
  fill(by("facts"), facts.join(), ...facts.map((fact) => el("span", {}, fact)));
  by("reload").hidden = !status.reload_failed;

  const total = servers.reduce((sum, server) => sum + server.total, 0);
  tiles.requests.update([history.map((point) => point.rate)], `${total.toLocaleString("en")} sent to servers since the start`);
  tiles.latency.update([history.map((point) => point.p50), history.map((point) => point.p99)], "of the last 10 s");
  const { rate: now, rates } = status.requests;
  tiles.errors.update([history.map((point) => point.rates[0])], rates[0] > 0 ? `${percent(rates[0] / now)} of all` : "none in the last 10 s");
  tiles.running.update([history.map((point) => point.level)], "on all servers, and here");

  const names = new Set(status.upstreams.map(({ name }) => name));
  for (const [name, group] of groups) {
    if (!names.has(name) || group.canChange !== status.can_change) {
      group.element.remove();
      groups.delete(name);
    }
  }
  for (const { name, method, retries } of status.upstreams) {
    if (!groups.has(name)) {
      const [table, note] = [new Table(columns(status.can_change)), el("p")];
      const head = el("div", { class: "head" }, el("h2", {}, name), note);
      const element = el("section", { class: "group upstream" }, head, table.element);
      groups.set(name, { table, note, element, canChange: status.can_change });
      by("upstreams").append(element);
    }
    const { table, note } = groups.get(name);
    text(note, `${method}${retries ? ` · ${retries.toLocaleString("en")} retries` : ""}`);
    table.update(servers.filter((server) => server.upstream === name), (server) => server.address);
  }

  const told = servers.filter((server) => server.admin);
  const once = [...new Map(told.map((server) => [server.admin, server])).values()];
  sidecars.update(once.map((server) => ({ server, sidecar: server.sidecar })), ({ server }) => server.admin);
  by("sidecars").hidden = servers.length === 0;
  sidecars.element.hidden = once.length === 0;
  const silent = servers.length - told.length;
  text(by("unknown"), silent ? `${silent === servers.length ? "None is known" : `${silent} not known`}: give its [[upstream.server]] an admin_port` : "");
}

/** All servers of all upstreams, by their keys. */
const every = (status) =>
  status.upstreams.flatMap(({ name, servers }) =>
    servers.map((server) => [key({ ...server, upstream: name }), server]),
  );

const page = new Status({
  whole(status) {
    history = status.history;
    sparks.clear();
    for (const [name, server] of every(status)) sparks.set(name, server.history ?? []);
  },
  next(status) {
    remember(history, status.requests);
    for (const [name, server] of every(status)) {
      if (!sparks.has(name)) sparks.set(name, []);
      remember(sparks.get(name), server.requests.rate);
    }
  },
  show(status) {
    latest = status;
    show(status);
  },
});

let wanted = null;
const dialog = by("dialog");

/** Asks whether it is meant, and for the token. */
function ask(server, drains) {
  wanted = { server, drains };
  text(by("question"), `${drains ? "Drain" : "Enable"} ${server.address}?`);
  const others = latest.upstreams.find(({ name }) => name === server.upstream).servers.filter((other) => other.address !== server.address && other.state === "up");
  const running = server.in_flight === 1 ? "the one that runs is finished" : `the ${server.in_flight} that run are finished`;
  const last = drains && others.length === 0 ? " No other server of this upstream is up: its clients will be answered 503." : "";
  text(by("consequence"), drains ? `It gets no new requests; ${running}.${last}` : "It gets requests again.");
  by("consequence").classList.toggle("bad-text", last !== "");
  text(by("go"), drains ? "Drain" : "Enable");
  by("asked").hidden = token !== null;
  by("refused").hidden = true;
  dialog.showModal();
  (token === null ? by("token") : by("go")).focus();
}

async function go(event) {
  event.preventDefault();
  const { server, drains } = wanted;
  const tried = token ?? by("token").value.trim();
  by("go").disabled = true;
  try {
    const answer = await fetch("servers", {
      method: "POST",
      headers: { Authorization: `Bearer ${tried}`, "Content-Type": "application/json" },
      body: JSON.stringify({ upstream: server.upstream, server: server.address, state: drains ? "drain" : "up" }),
    });
    token = answer.ok ? tried : null;
    if (!answer.ok) throw new Error(answer.status === 403 ? "This is not the token." : await answer.text());
    by("token").value = "";
    dialog.close();
    page.ask();
  } catch (error) {
    by("asked").hidden = token !== null;
    text(by("refused"), error.message);
    by("refused").hidden = false;
    by("token").select();
  } finally {
    by("go").disabled = false;
  }
}

by("form").addEventListener("submit", go);
by("cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => (by("token").value = ""));
