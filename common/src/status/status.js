// What both status pages have in common: elements, numbers, plots, and asking for status.json again and again.
// Everything that is shown goes through textContent or an attribute, never through markup.

const SVG = "http://www.w3.org/2000/svg";
/** So many values are a plot. */
const LENGTH = 150;

/** An element with attributes and children; texts are texts. */
export function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line"].includes(tag);
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Puts a text in, if it is another one. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Replaces the children, if what they say is another. */
export function fill(element, key, ...children) {
  if (element.dataset.key === String(key)) return;
  element.dataset.key = key;
  element.replaceChildren(...children);
}

/** Three digits that matter. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  if (value >= 10) return value.toFixed(1);
  return value < 0.005 ? "0" : value.toFixed(2);
}

/** Seconds, as a number and its unit. */
export function seconds(value) {
  if (value === null || value === undefined) return ["–", ""];
  if (value < 0.001) return [String(Math.round(value * 1e6)), "µs"];
  if (value < 1) return [number(value * 1e3), "ms"];
  return [number(value), "s"];
}

export const time = (value) => seconds(value).join("\u202f").trim();

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)}\u202f${units[at]}`;
}

export const percent = (value) => (value === null || value === undefined || Number.isNaN(value) ? "–" : `${number(value * 100)}\u202f%`);

/** A share of two rates; null when there is neither. */
export const share = (part, rest) => (part + rest > 0 ? part / (part + rest) : null);

export function ago(since) {
  const past = Math.max(0, Date.now() / 1000 - since);
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, unit] = units.find(([size]) => past >= size) ?? units.at(-1);
  return `${Math.floor(past / size)}\u202f${unit}`;
}

/** The line of a plot in a box of 100 by 100; values that are not there leave a gap. */
function line(values, max) {
  const step = 100 / (LENGTH - 1);
  let path = "";
  let open = false;
  values.forEach((value, at) => {
    if (value === null || value === undefined) {
      open = false;
      return;
    }
    const x = (100 - (values.length - 1 - at) * step).toFixed(2);
    const y = (96 - (90 * value) / max).toFixed(2);
    path += `${open ? "L" : "M"}${x} ${y}`;
    open = true;
  });
  return path;
}

function area(values, max) {
  const known = values.map((value) => value ?? 0);
  const path = line(known, max);
  const left = (100 - (known.length - 1) * (100 / (LENGTH - 1))).toFixed(2);
  return path && `${path}L100 100L${left} 100Z`;
}

/** A small line, as in a table. */
export class Spark {
  constructor() {
    this.path = el("path");
    this.area = el("path", { class: "area" });
    const box = { class: "plot spark", viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" };
    this.element = el("svg", box, this.area, this.path);
  }

  update(values) {
    const max = Math.max(...values, 0.001);
    this.path.setAttribute("d", line(values, max));
    this.area.setAttribute("d", area(values, max));
  }
}

/** A tile: a title, one or two values, and their plot. Pointing at the plot shows the value of then. */
export class Tile {
  /** `series`: [{ key, format }]; `format` gives a number and its unit. */
  constructor(title, series) {
    this.series = series;
    this.at = null;
    this.values = series.map(({ key }, n) => {
      const [value, unit] = [el("span"), el("small")];
      const name = key ? el("small", { class: "key" }, key) : null;
      return { value, unit, element: el("div", { class: n ? "value second" : "value" }, name, value, unit) };
    });
    this.paths = series.map((_, n) => el("path", { class: n ? "second" : "first" }));
    this.area = el("path", { class: "area" });
    this.cursor = el("line", { class: "cursor", y1: 0, y2: 100, hidden: true });
    const box = { class: "plot", viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" };
    this.plot = el("svg", { ...box, "aria-label": `${title}, the last five minutes` }, this.area, ...this.paths, this.cursor);
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", () => this.point(null));
    this.note = el("div", { class: "note" });
    const values = el("div", { class: "values" }, ...this.values.map((value) => value.element));
    this.element = el("section", { class: "card tile" }, el("h2", {}, title), values, this.note, this.plot);
  }

  /** `histories`: of each series, the oldest first. `note`: a line below the values. */
  update(histories, note = "") {
    this.histories = histories;
    this.said = note;
    const max = Math.max(...histories.flat().filter((value) => value !== null && value !== undefined), 1e-9);
    histories.forEach((values, n) => this.paths[n].setAttribute("d", line(values, max)));
    this.area.setAttribute("d", histories.length === 1 ? area(histories[0], max) : "");
    this.show();
  }

  point(event) {
    if (!this.histories) return;
    const { left, width } = this.plot.getBoundingClientRect();
    this.at = event && Math.round(((left + width - event.clientX) / width) * (LENGTH - 1));
    this.show();
  }

  show() {
    const back = this.at ?? 0;
    const there = this.at !== null && back < this.histories[0].length;
    this.cursor.toggleAttribute("hidden", !there);
    if (there) {
      const x = 100 - back * (100 / (LENGTH - 1));
      this.cursor.setAttribute("x1", x);
      this.cursor.setAttribute("x2", x);
    }
    this.series.forEach(({ format }, n) => {
      const [value, unit] = format(this.histories[n].at(there ? -1 - back : -1));
      text(this.values[n].value, value);
      text(this.values[n].unit, unit);
    });
    text(this.note, there ? `${Math.round(back * Status.step)} s ago` : this.said);
  }
}

/** A table whose rows are kept, by a key, and only change what has changed. */
export class Table {
  /** `columns`: [{ label, class, cell }]; `cell(data)` is a text, or `update(td, data, row)` does what it likes. */
  constructor(columns) {
    this.columns = columns;
    this.rows = new Map();
    this.body = el("tbody");
    const heads = columns.map(({ label, class: name }) => el("th", { class: name, scope: "col" }, label));
    const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.element = el("div", { class: "card table" }, table);
  }

  update(all, key) {
    const seen = new Set();
    all.forEach((data, n) => {
      const id = key(data);
      seen.add(id);
      if (!this.rows.has(id)) {
        const cells = this.columns.map(({ label, class: name }) => el("td", { class: name, "data-label": label }));
        this.rows.set(id, { cells, element: el("tr", { "data-key": id }, ...cells) });
      }
      const row = this.rows.get(id);
      this.columns.forEach(({ cell, update }, at) => {
        if (update) update(row.cells[at], data, row);
        else text(row.cells[at], cell(data));
      });
      if (this.body.children[n] !== row.element) this.body.insertBefore(row.element, this.body.children[n] ?? null);
    });
    for (const [id, row] of this.rows) {
      if (!seen.has(id)) {
        row.element.remove();
        this.rows.delete(id);
      }
    }
  }
}

/** Adds a value to a history, which stays as long as a plot. */
export function remember(history, value) {
  history.push(value);
  if (history.length > LENGTH) history.splice(0, history.length - LENGTH);
}

/** Asks for status.json for ever. */
export class Status {
  /** Between two looks of the program. */
  static step = 2;

  /** `whole(status)`: one with its history; `next(status)`: one more. Then `show(status)`. */
  constructor({ whole, next, show }) {
    Object.assign(this, { whole, next, show });
    this.looks = null;
    this.notice = document.getElementById("away");
    document.addEventListener("visibilitychange", () => this.ask());
    this.ask();
  }

  /** Now, and again after a while. */
  async ask() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    try {
      // After a gap, the plots begin anew from what the program remembers.
      const again = this.looks === null || performance.now() - this.asked > 3000 * Status.step;
      const answer = await fetch(again ? "status.json?history" : "status.json", { cache: "no-store" });
      if (!answer.ok) throw new Error(`it answered ${answer.status}`);
      const status = await answer.json();
      this.asked = performance.now();
      Status.step = status.step;
      if (!status.history && status.looks !== this.looks && status.looks !== this.looks + 1) {
        // It was started anew, or a look was missed.
        this.looks = null;
        return void this.ask();
      }
      if (status.history) this.whole(status);
      else if (status.looks !== this.looks) this.next(status);
      this.looks = status.looks;
      this.show(status);
      this.notice.hidden = true;
    } catch (error) {
      text(this.notice, `No answer from here: ${error.message}. What is shown is old.`);
      this.notice.hidden = false;
      this.looks = null;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), 1000 * Status.step);
  }
}
