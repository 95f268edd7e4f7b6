// A hook made or edited: a form made of what the modules say about themselves.

import { h, fill, region } from "./dom.js";
import { call, get, part, Problem } from "./api.js";
import { button, check, choice, complain, field, head, pairs, panel, problem, shownOnce, text, toast } from "./parts.js";
import { sentence } from "./words.js";

const OPERATORS = ["eq", "ne", "in", "prefix", "exists", "lt", "gt"];

export async function hookForm(page) {
  const id = page.rest[1] === "edit" ? page.rest[0] : null;
  const [kinds, own, stored] = await Promise.all([
    get("webhooks?ascending=true", page.signal),
    get(page.path("webhook_modules"), page.signal),
    id ? call("GET", page.path(`webhooks/${part(id)}`), { signal: page.signal }) : null,
  ]);
  const hook = stored?.data ?? { enabled: true };
  const fields = new Map();
  const add = (name, label, control, options) => {
    const made = field(label, control, options);
    fields.set(name, made);
    return made;
  };

  const name = text({ value: hook.name ?? "", required: true, maxlength: 128 });
  const event = choice([["", "Choose an event"], ...kinds.map(({ id, name }) => [id, name]), ["all", "Every event"]], { value: hook.hook ?? page.search.get("event") ?? "", required: true });
  const about = h("p.help");
  const modifiers = region("div.modifiers");
  let chosen = new Map();
  const uri = text({ type: "url", value: hook.uri ?? "", required: true, placeholder: "https://example.com/webhooks", inputmode: "url" });
  const verb = choice(["post", "put", "get"], { value: hook.http_verb ?? "post" });
  const format = choice([["json", "JSON"], ["form-data", "form"]], { value: hook.format ?? (id ? "form-data" : "json") });
  const retries = choice(["0", "1", "2", "3", "4"], { value: String(hook.retries ?? 2) });
  const schedule = text({ value: hook.retry_schedule_s?.join(", ") ?? "", placeholder: "2, 10, 60", inputmode: "numeric" });
  const amount = (value) => text({ type: "number", min: 1, value: value ?? "", inputmode: "numeric" });
  const [timeout, atOnce, rate] = [amount(hook.timeout_ms), amount(hook.max_in_flight), amount(hook.rate_limit_per_s)];
  const signature = choice([["hmac", "HMAC-SHA256"], ["ed25519", "ed25519"]], { value: hook.signature ?? "hmac" });
  const transforms = own.filter(({ kind }) => kind === "transform");
  const transform = choice([["", "none"], ...transforms.map(({ id }) => id)], { value: hook.transform?.module ?? "" });
  const enabled = check("Enabled", { checked: hook.enabled !== false });
  const below = check("Accounts below fire it too", { checked: hook.include_subaccounts === true });
  const legs = check("Legs inside the platform fire it", { checked: hook.include_internal_legs !== false });

  const kindOf = () => kinds.find(({ id }) => id === event.value);
  /** Keys of `custom_data` that the event's module chooses by. */
  const drawEvent = () => {
    const kind = kindOf();
    fill(about, kind ? sentence(kind.description) : event.value === "all" ? "Whatever happens in the account." : "");
    chosen = new Map(Object.entries(kind?.modifiers ?? {}).filter(([, { items }]) => items).map(([key, modifier]) => {
      const items = Array.isArray(modifier.items) ? modifier.items.map((item) => [item, item])
        : Object.entries(modifier.items).map(([item, about]) => [item, about?.friendly_name ?? about?.description ?? item]);
      const all = items.some(([item]) => item === "all") ? [] : [["all", "all"]];
      const given = hook.custom_data?.[key];
      return [key, choice([...all, ...items], { value: typeof given === "string" ? given : "all" })];
    }));
    modifiers.draw([...chosen].map(([key, control]) => add(`custom_data.${key}`, key === "type" ? "Which type" : key === "action" ? "Which action" : key, control,
      { help: sentence(kind.modifiers[key].description) })));
  };
  const other = Object.fromEntries(Object.entries(hook.custom_data ?? {}).filter(([key]) => !(kindOf()?.modifiers ?? {})[key]));
  const custom = pairs("Added to the payload", other, { help: "Names and values that are merged into each payload." });
  const headers = pairs("Request headers", hook.headers, { key: "X-Api-Key", help: "Sent with each request. Values are never shown again; (hidden) keeps the one that is there." });
  const conditions = conditionRows(hook.filter);
  event.addEventListener("change", drawEvent);
  const drawFormat = () => { fields.get("format").hidden = verb.value === "get"; };
  verb.addEventListener("change", drawFormat);

  const wrong = region("div");
  const save = h("button.main", { type: "submit" }, id ? "Save" : "Make the hook");
  const form = h("form.form", { on: { submit }, novalidate: true },
    panel("What and where",
      add("name", "Name", name, { help: "For people." }),
      add("hook", "Event", event), about, modifiers.element,
      add("uri", "Address", uri, { help: "Where requests go: http or https." }),
      h("div.row", add("http_verb", "Verb", verb), add("format", "Body", format)),
      enabled),
    h("details.panel", { open: Boolean(hook.filter || hook.headers || hook.transform || hook.retry_schedule_s || Object.keys(other).length) }, h("summary", h("h2", "More: conditions, headers, tries, limits")),
      conditions, custom, headers,
      h("div.row",
        add("retries", "Tries after the first", retries),
        add("retry_schedule_s", "or pauses between tries, seconds", schedule, { optional: true })),
      h("div.row",
        add("timeout_ms", "Time for a try, ms", timeout, { optional: true }),
        add("max_in_flight", "Requests at once", atOnce, { optional: true }),
        add("rate_limit_per_s", "Most a second", rate, { optional: true })),
      h("div.row",
        add("signature", "Signed by", signature),
        add("transform.module", "Transform", transform, { help: transforms.length ? "Rewrites or drops each firing." : "The account has none: upload one under Modules." })),
      below, legs),
    wrong.element,
    h("div.actions", save, button("Cancel", () => history.back())));
  drawEvent();
  drawFormat();

  function document() {
    const data = { ...hook };
    for (const key of ["id", "disable_reason", "_read_only"]) delete data[key];
    const set = (key, value) => { if (value === undefined || value === "" || value === null) delete data[key]; else data[key] = value; };
    set("name", name.value.trim());
    set("hook", event.value);
    set("uri", uri.value.trim());
    set("http_verb", verb.value);
    set("format", format.value);
    set("retries", Number(retries.value));
    set("enabled", enabled.box.checked);
    set("include_subaccounts", below.box.checked || undefined);
    set("include_internal_legs", legs.box.checked);
    set("retry_schedule_s", schedule.value.trim() ? schedule.value.split(/[\s,]+/).filter(Boolean).map(Number) : undefined);
    for (const [key, control] of [["timeout_ms", timeout], ["max_in_flight", atOnce], ["rate_limit_per_s", rate]]) set(key, control.value ? Number(control.value) : undefined);
    set("signature", signature.value === "hmac" && !hook.signature ? undefined : signature.value);
    if (transform.value !== (hook.transform?.module ?? "")) set("transform", transform.value ? { module: transform.value } : undefined);
    const merged = { ...custom.values(), ...Object.fromEntries([...chosen].map(([key, control]) => [key, control.value])) };
    set("custom_data", Object.keys(merged).length ? merged : undefined);
    const given = headers.values();
    set("headers", Object.keys(given).length ? given : undefined);
    const filter = conditions.values();
    set("filter", filter.length ? filter : undefined);
    return data;
  }

  async function submit(submitted) {
    submitted.preventDefault();
    for (const made of fields.values()) made.complain(null);
    wrong.draw();
    save.disabled = true;
    try {
      if (id) {
        await call("POST", page.path(`webhooks/${part(id)}`), { data: document(), ifMatch: `"${stored.revision}"` });
        toast("Saved");
        page.go("hooks", id);
      } else {
        const { data } = await call("PUT", page.path("webhooks"), { data: document() });
        await shownOnce("The hook is made", "Its requests are signed with this secret, which is shown this once. Give it to the receiver.", data.secret);
        page.go("hooks", data.id);
      }
    } catch (error) {
      if (!(error instanceof Problem)) return complain(error);
      const left = [...error.fields].filter(([key, words]) => {
        const made = fields.get(key) ?? fields.get(key.replace(/\.\d+.*$/, ""));
        made?.complain(words);
        made?.closest("details")?.setAttribute("open", "");
        return !made;
      });
      if (left.length || !error.fields.size) wrong.draw(problem(error));
      (form.querySelector("[aria-invalid=true]") ?? wrong.element).scrollIntoView({ block: "center" });
      form.querySelector("[aria-invalid=true]")?.focus();
    } finally {
      save.disabled = false;
    }
  }

  return [
    h("p.crumbs", h("a", { href: page.link("hooks") }, "Hooks"), id && [" / ", h("a", { href: page.link("hooks", id) }, hook.name || id)]),
    head(id ? "Edit the hook" : "New hook", id ? null : "Choose an event, say where its requests go."),
    form,
  ];
}

/** Conditions on the payload: rows of a pointer, an operator and a value. */
function conditionRows(given) {
  const rows = h("div.pairs");
  const add = ({ pointer = "", op = "eq", value = "" } = {}) => {
    const row = h("div.pair.three",
      text({ value: pointer, placeholder: "/caller_id_number", "aria-label": "Condition: where in the payload" }),
      choice(OPERATORS, { value: op, "aria-label": "Condition: how it is compared" }),
      text({ value: typed(value), placeholder: "value", "aria-label": "Condition: with what" }),
      button("×", () => row.remove(), { class: "bare", label: "Remove the condition" }));
    rows.append(row);
    return row;
  };
  given?.forEach(add);
  const element = h("fieldset.group", h("legend", "Conditions"), h("p.help", "On the payload, by JSON pointer. All must hold, else the hook is not fired. 5 is a number, \"5\" is text."), rows,
    button("Add", () => add().querySelector("input").focus(), { class: "small", label: "Add a condition" }));
  element.values = () => [...rows.children].map((row) => {
    const [pointer, op, value] = [...row.querySelectorAll("input, select")].map((control) => control.value.trim());
    return { pointer, op, value: read(op, value) };
  }).filter(({ pointer }) => pointer);
  return element;
}

/** A condition's value, of what was typed. */
function read(op, words) {
  if (op === "exists") return words !== "false";
  if (op === "in" && !words.startsWith("[")) return words.split(",").map((item) => item.trim());
  const value = literal(words);
  return op === "prefix" && typeof value !== "string" ? words : value;
}

/** Numbers, lists, truth values and text in quotes are what they read as; anything else is text. */
function literal(words) {
  if (!/^(-?\d+(\.\d+)?|true|false|null|\[.*\]|".*")$/.test(words)) return words;
  try {
    return JSON.parse(words);
  } catch {
    return words;
  }
}

/** A value as it is typed: text that reads as something else is in quotes. */
const typed = (value) => (typeof value === "string" && literal(value) === value ? value : JSON.stringify(value));
