// What pages are made of: badges, tables, fields, dialogs, what is said when there is nothing or something went wrong.

import { h, fill, region } from "./dom.js";
import { Problem } from "./api.js";

export const badge = (words, kind = "plain", title) => h(`span.badge.${kind}`, { title }, words);

export const button = (words, click, options = {}) =>
  h("button", { type: "button", class: options.class, title: options.title, disabled: options.disabled, "aria-label": options.label, on: { click } }, words);

/** A button that shows that it works, and says what went wrong. */
export function action(words, act, options = {}) {
  const made = button(words, async () => {
    made.disabled = true;
    made.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (error) {
      if (error.name !== "AbortError") complain(error);
    } finally {
      made.disabled = false;
      made.removeAttribute("aria-busy");
    }
  }, options);
  return made;
}

/** A page's head: its title, what stands beside it, what can be done. */
export const head = (title, about, ...actions) =>
  h("header.head", h("div", h("h1", { tabindex: -1 }, title), about && h("p.about", about)), actions.flat().some(Boolean) && h("div.actions", actions));

export const panel = (title, ...children) => h("section.panel", title && h("h2", title), children);

/** Names and values. What has no value is left out. */
export const facts = (pairs) =>
  h("dl.facts", pairs.filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "").map(([name, value]) => h("div", h("dt", name), h("dd", value))));

/** What is said when there is nothing: why, and what to do. */
export const empty = (title, words, ...actions) => h("div.empty", h("p.empty-title", title), words && h("p", words), actions);

/** What went wrong, and what to do. */
export function problem(error, again) {
  const words = error instanceof Problem ? error.words : [`The console failed: ${error.message}`, "Load the page again; if it stays, tell the operator."];
  return h("div.problem", { role: "alert" },
    h("p", h("strong", words[0])), words.slice(1).map((line) => h("p", line)),
    error.requestId && h("p.faint", "Request ", h("code", error.requestId)),
    again && button("Try again", again));
}

/** Says for a moment that something was done, or was not. */
export function toast(words, kind = "good") {
  const shown = h(`div.toast.${kind}`, words, button("×", () => shown.remove(), { class: "bare", label: "Dismiss" }));
  const place = document.getElementById("toasts");
  place.append(shown);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => shown.remove(), kind === "bad" ? 12_000 : 4_000);
}

export function complain(error) {
  toast(error instanceof Problem ? error.words.join(" ") : `The console failed: ${error.message}`, "bad");
}

/** Says what is wrong at the fields that it is wrong with, by their names; for a moment, when it is with none of them. */
export function complainAt(fields, error) {
  const left = [...(error.fields ?? [])].filter(([name, words]) => {
    fields.get(name)?.complain(words);
    return !fields.has(name);
  });
  if (left.length || !error.fields?.size) complain(error);
}

/**
 * A table that turns into cards where there is no room.
 * @param columns `{name, cell(row), class}`; the first is what a row is called
 */
export function table(name, columns, rows, options = {}) {
  return h("div.scroll", { tabindex: -1 }, h("table.list", { class: options.class },
    h("caption.hidden", name),
    h("thead", h("tr", columns.map((column) => h("th", { scope: "col", class: column.class }, column.name)))),
    h("tbody", rows.map((row) => h("tr", { class: options.rowClass?.(row) }, columns.map((column, place) =>
      h(place ? "td" : "th", { scope: place ? null : "row", class: column.class, "data-name": column.name }, column.cell(row))))))));
}

/** A page of what somebody searches for may have few of it or none: so many are wanted, and so many are asked for. */
const [WANTED, ASKED_MAX] = [20, 10];

/**
 * A list that comes in pages. `fetch(startKey)` gives an envelope, `show(rows)` an element.
 * Gives the element and `load()`, which begins anew.
 */
export function pages(fetch, show, nothing, signal) {
  const { element, draw } = region("div.pages", { "aria-live": "polite" });
  let [rows, next, run] = [[], null, 0];
  const render = () => draw(
    rows.length ? show(rows) : next ? empty("Nothing found yet", "What is further back was not looked at.") : nothing(),
    (rows.length > 0 || next) && h("p.pager", h("span.faint", `${rows.length} shown`), next && action(rows.length ? "Load more" : "Look further back", () => more(run))));
  async function more(asked) {
    const before = rows.length;
    for (let times = 0; times < ASKED_MAX; times += 1) {
      const envelope = await fetch(next);
      if (asked !== run || signal?.aborted) return;
      rows = rows.concat(envelope.data);
      next = envelope.next_start_key;
      if (!next || rows.length >= before + WANTED) break;
    }
    render();
  }
  async function load() {
    const asked = ++run;
    [rows, next] = [[], null];
    if (!element.firstChild) draw(skeleton());
    try {
      await more(asked);
    } catch (error) {
      if (asked === run && error.name !== "AbortError") draw(problem(error, load));
    }
  }
  return { element, load };
}

export const skeleton = (lines = 4) => h("div.skeleton", { "aria-hidden": "true" }, Array.from({ length: lines }, () => h("div")));

/** An element that shows what `load` gives by `show`, a skeleton meanwhile, and what went wrong. */
export function loaded(load, show, lines) {
  const { element, draw } = region("div.loaded");
  const again = async () => {
    if (!element.firstChild) draw(skeleton(lines));
    try {
      draw(show(await load(), again));
    } catch (error) {
      if (error.name !== "AbortError") draw(problem(error, again));
    }
  };
  element.again = again;
  again();
  return element;
}

/**
 * Calls `look` every so often until the page is left: not while nobody sees it, while the look before goes on, or while
 * somebody has the keyboard in what it draws.
 */
export function repeat(look, everyMs, element, signal) {
  let isLooking = false;
  const timer = setInterval(async () => {
    if (isLooking || document.hidden || element.contains(document.activeElement)) return;
    isLooking = true;
    try {
      await look();
    } finally {
      isLooking = false;
    }
  }, everyMs);
  if (signal.aborted) clearInterval(timer);
  signal.addEventListener("abort", () => clearInterval(timer));
}

let numbers = 0;

/** A field with its label, what it means, and room for what is wrong with it. */
export function field(label, control, options = {}) {
  const id = control.id || `field-${++numbers}`;
  control.id = id;
  const wrong = h("p.wrong", { id: `${id}-wrong`, hidden: true });
  const help = options.help && h("p.help", { id: `${id}-help` }, options.help);
  control.setAttribute("aria-describedby", [help && help.id, wrong.id].filter(Boolean).join(" "));
  const made = h("div.field", { class: options.class }, h("label", { for: id }, label, options.optional && h("span.faint", " optional")), control, help, wrong);
  made.complain = (words) => {
    wrong.hidden = !words;
    fill(wrong, words ?? "");
    if (words) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  return made;
}

export const text = (attributes = {}) => h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });
/** One of some values. A value that is none of them is offered too: else saving a form would lose it. */
export function choice(options, attributes = {}) {
  const offered = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  const given = attributes.value;
  if (given && !offered.some(([value]) => value === given)) offered.push([given, given]);
  return h("select", attributes, offered.map(([value, words]) => h("option", { value }, words)));
}

export function check(label, attributes = {}, help) {
  const box = h("input", { type: "checkbox", ...attributes });
  const made = h("label.check", box, h("span", label, help && h("span.help", help)));
  made.box = box;
  return made;
}

/** Rows of a name and a value, of which one can add more. */
export function pairs(name, given, options = {}) {
  const rows = h("div.pairs");
  const add = (key = "", value = "") => {
    const row = h("div.pair",
      text({ value: key, placeholder: options.key ?? "name", "aria-label": `${name}: name` }),
      text({ value, placeholder: options.value ?? "value", "aria-label": `${name}: value` }),
      button("×", () => row.remove(), { class: "bare", label: `Remove from ${name}` }));
    rows.append(row);
    return row;
  };
  Object.entries(given ?? {}).forEach(([key, value]) => add(key, typeof value === "string" ? value : JSON.stringify(value)));
  const element = h("fieldset.group", h("legend", name), options.help && h("p.help", options.help), rows,
    button("Add", () => add().querySelector("input").focus(), { class: "small", label: `Add to ${name}` }));
  element.values = () => Object.fromEntries([...rows.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value)).filter(([key]) => key.trim()));
  return element;
}

/** Text that can be copied. */
export function copyable(value, label = "Copy") {
  return h("span.copyable", h("code", value), button(label, async (event) => {
    try {
      await navigator.clipboard.writeText(value);
      toast("Copied");
    } catch {
      const range = document.createRange();
      range.selectNodeContents(event.target.previousSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      toast("Selected; copy it with the keyboard");
    }
  }, { class: "small" }));
}

/** What was sent or answered: text, as it is. It scrolls, so it can be reached with the keyboard. */
export const code = (value, label) => h("pre.code", { tabindex: 0, role: "region", "aria-label": label }, value);

/** A dialog; escape closes it. Gives a promise of what `close(…)` was called with. */
export function dialog(title, draw) {
  return new Promise((resolve) => {
    const element = h("dialog", { "aria-labelledby": "dialog-title", on: { close: () => { element.remove(); resolve(element.answer); } } });
    const close = (answer) => { element.answer = answer; element.close(); };
    fill(element, h("h2", { id: "dialog-title" }, title), draw(close));
    document.body.append(element);
    element.showModal();
  });
}

/** Asks before what cannot be undone. */
export const confirmed = (title, words, doIt) => dialog(title, (close) => [
  h("p", words),
  h("div.actions.end", button("Cancel", () => close(false)), button(doIt, () => close(true), { class: "danger" })),
]);

/** Shows what is shown once. */
export const shownOnce = (title, words, value) => dialog(title, (close) => [
  h("p", words), copyable(value), h("div.actions.end", button("I have kept it", () => close(true), { class: "main" })),
]);
