// One module or transform: versions, limits, what it costs and says.

import { h, region } from "./dom.js";
import { call, get, part, query, session, Problem } from "./api.js";
import { action, badge, check, choice, code, complainAt, confirmed, empty, facts, field, head, loaded, pairs, panel, repeat, table, text, toast } from "./parts.js";
import { moduleState, report, uploadForm } from "./modules.js";
import { days } from "./charts.js";
import { ago, bytes, clock, number, plural, sentence, short, shortId, us } from "./words.js";

const LIMITS = [
  ["time_limit_ms", "Time for a call, ms"], ["fuel_max", "Fuel for a call"],
  ["memory_bytes_max", "Memory, bytes"], ["log_bytes_max", "Log of a call, bytes"],
  ["instances", "Calls at once"], ["reuse", "Calls that an instance serves"],
];
const LOG_EVERY_MS = 3000;

export async function module(page) {
  const [name] = page.rest;
  const path = (rest = "") => page.path(`webhook_modules/${part(name)}${rest}`);
  // Lists, because what is not in them is no error.
  const [modules, kinds, withSamples] = await Promise.all([
    get(page.path("webhook_modules"), page.signal), get("webhooks", page.signal), get("webhooks/samples", page.signal),
  ]);
  const found = modules.find(({ id }) => id === name);
  const kind = kinds.find(({ id }) => id === name);
  if (!found && !kind) throw new Problem(404, { message: `There is no module ${name} here` });
  page.title(name);
  const top = [
    h("p.crumbs", h("a", { href: page.link("modules") }, "Modules")),
    head(h("span", kind?.name ?? name, " ", kind && kind.name !== name && h("code", name)), kind ? sentence(kind.description) : (found.kind === "transform" ? "A transform: rewrites or drops what hooks send." : null),
      h("a.button.main", { href: `${page.link("playground")}?module=${part(name)}` }, "Try it"),
      kind && h("a.button", { href: `${page.link("hooks", "new")}?event=${part(name)}` }, "New hook")),
  ];
  const mayRead = found ? found.own : session.isOperator && page.account === session.account;
  const stands = mayRead && (await get(path("/quarantine"), page.signal));
  const payloads = kind && panel("What hooks are sent",
    Object.keys(kind.modifiers ?? {}).length > 0 && facts(Object.entries(kind.modifiers).filter(([, { items }]) => items).map(([key, { items }]) =>
      [`Chosen by ${key}`, h("span.choices", (Array.isArray(items) ? items : Object.keys(items)).map((item) => h("code", item)))])),
    withSamples.includes(`webhooks_${name}`) ? loaded(() => get(`webhooks/samples/webhooks_${part(name)}`, page.signal), samplesShown) : empty("It brings no samples"));
  const cost = (found || mayRead) && panel("What it costs", loaded(() => costs(path, page.signal), (rows) => (rows.length ? costShown(rows)
    : empty("It has not been called", mayRead ? "Each call is counted here by day: fuel, time, memory." : "What calls cost is shown to whom they are charged."))));
  const logs = mayRead && panel("What it says", logView(page, path));
  const again = page.refresh;
  const quarantined = quarantineNotice(page, name, stands?.quarantine ?? found?.quarantine, mayRead && (async () => {
    await call("DELETE", path("/quarantine"));
    toast(`${name} is called again`);
    again();
  }));
  const faults = stands && `${number(stands.faults)} of ${number(stands.fault_count)} within ${number(stands.fault_window_ms / 1000)} s put it in quarantine`;
  if (!found) return [...top, quarantined, panel("Whose", facts([["Kind", "module"], ["Offered by", "the operator, to all accounts"], ["Faults", faults]])), payloads, cost, logs];
  return [
    ...top,
    quarantined,
    found.set_aside && h("div.notice.warn", { role: "note" }, h("p", h("strong", "Set aside: "), found.set_aside)),
    h("div.columns",
      panel("Now", facts([["State", moduleState(found)], ["Kind", found.kind], ["Version", found.active && h("span", found.active.version, " ", shortId(found.active.digest))], ["Made", ago(found.created)], ["Faults", faults], ["Whose", found.own ? "yours" : "an account above offers it"]])),
      found.own && panel("Limits and settings", ownerForm(found, path, again))),
    found.own && panel("Versions", loaded(() => get(path("/versions"), page.signal), (rows) => versionList(page, found, rows, path, again))),
    found.own && panel("Upload another version", uploadForm(page, name, () => {})),
    payloads, cost, logs,
    found.own && h("div.actions.end", action(`Delete ${found.kind}`, async () => {
      if (!(await confirmed(`Delete ${name}?`, "All its versions go. Hooks that name it stay, and get nothing of it any more.", "Delete"))) return;
      await call("DELETE", path());
      toast(`${name} is gone`);
      page.go("modules");
    }, { class: "quiet-danger" })),
  ];
}

/** Why it is not called, and what to do; `lift` for whoever may. */
const quarantineNotice = (page, name, quarantine, lift) => quarantine && h("div.notice.bad", { role: "note" },
  h("p", h("strong", "In quarantine: it is not called any more. ")), h("p", sentence(quarantine.reason)),
  h("p.faint", "Since ", ago(quarantine.since), ". Mend it and activate another version, or roll back; or lift the quarantine when something else was at fault. Messages that it failed on are ",
    h("a", { href: page.link("modules", "dead-letters") }, "dead letters"), "."),
  lift && h("div.actions", action("Lift the quarantine", lift)));

/** Sample payloads, one at a time. */
function samplesShown(samples) {
  const { element, draw } = region("div");
  const which = choice(samples.map((sample, place) => [String(place), `Sample ${place + 1} of ${samples.length}${sample.event_name ? `: ${sample.event_name}` : ""}`]), { "aria-label": "Sample", on: { change: () => show() } });
  const show = () => draw(code(JSON.stringify(samples[Number(which.value)], null, 2), "Payload"));
  show();
  return [samples.length > 1 && h("div.filters", which), element];
}

function versionList(page, found, rows, path, again) {
  const activate = (version) => action("Activate", async () => {
    await call("POST", path("/activate"), { data: { version: version.digest } });
    toast(`${found.id} ${version.version} is active`);
    again();
  }, { class: "small main", label: `Activate ${version.version}` });
  const shown = region("div", { "aria-live": "polite" });
  return [
    table("Versions", [
      { name: "Version", cell: (version) => h("span", h("strong", version.version), " ", version.active && badge("active", "good")) },
      { name: "Uploaded", cell: (version) => ago(version.uploaded) },
      { name: "Size", class: "number", cell: (version) => bytes(version.size_bytes) },
      { name: "SHA-256", cell: (version) => shortId(version.digest) },
      { name: "", class: "end", cell: (version) => h("span.actions.end",
        action("Report", () => shown.draw(h("h3", `Report of ${version.version}`), report(version)), { class: "small", label: `Report of ${version.version}` }),
        !version.active && activate(version),
        !version.active && action("Delete", async () => {
          if (!(await confirmed(`Delete version ${version.version}?`, "It cannot be activated again without being uploaded.", "Delete"))) return;
          await call("DELETE", path(`/versions/${part(version.digest)}`));
          again();
        }, { class: "small quiet-danger", label: `Delete ${version.version}` })) },
    ], rows),
    rows.length > 1 && h("div.actions", action("Roll back to the version before", async () => {
      const { data } = await call("POST", path("/rollback"));
      toast(`${found.id} ${data.active.version} is active again`);
      again();
    })),
    shown.element,
  ];
}

function ownerForm(found, path, again) {
  const limits = new Map(LIMITS.map(([key, label]) => [`limits.${key}`, field(label, text({ type: "number", min: 0, value: found.limits?.[key] ?? "", placeholder: "the account's" }), { optional: true })]));
  const settings = pairs("Settings", found.settings, { help: "Texts that the component asks for by their names." });
  const offered = check("Offer it to the accounts below", { checked: found.offered });
  const submit = async (event) => {
    event.preventDefault();
    for (const made of limits.values()) made.complain(null);
    const given = LIMITS.map(([key]) => [key, limits.get(`limits.${key}`).querySelector("input").value]).filter(([, value]) => value !== "");
    try {
      await call("PATCH", path(), { data: { limits: Object.fromEntries(given.map(([key, value]) => [key, Number(value)])), settings: settings.values(), offered: offered.box.checked } });
      toast("Saved");
      again();
    } catch (error) {
      complainAt(limits, error);
    }
  };
  return h("form.form", { on: { submit }, novalidate: true }, h("div.row", [...limits.values()]), settings, offered, h("div.actions", h("button", { type: "submit" }, "Save")));
}

async function costs(path, signal) {
  try {
    return await get(path("/cost?page_size=31"), signal);
  } catch (error) {
    if (error.status === 404) return [];
    throw error;
  }
}

function costShown(rows) {
  const by = new Map();
  for (const { day, ...sums } of rows) {
    const all = by.get(day) ?? { calls: 0, fuel: 0, time_us: 0, faults: 0, memory_bytes_max: 0 };
    for (const key of ["calls", "fuel", "time_us", "faults"]) all[key] += sums[key];
    all.memory_bytes_max = Math.max(all.memory_bytes_max, sums.memory_bytes_max);
    by.set(day, all);
  }
  const newest = [...by].map(([day, sums]) => ({ day, ...sums }));
  return [
    days("Fuel by day", newest.toReversed().map(({ day, fuel, calls }) => ({ day, amount: fuel, words: `${short(fuel)} fuel, ${plural(calls, "call")}` }))),
    table("Cost by day", [
      { name: "Day", cell: ({ day }) => day },
      { name: "Calls", class: "number", cell: ({ calls }) => number(calls) },
      { name: "Fuel", class: "number", cell: ({ fuel }) => h("span", { title: number(fuel) }, short(fuel)) },
      { name: "Time", class: "number", cell: ({ time_us: time }) => us(time) },
      { name: "Failed", class: "number", cell: ({ faults }) => (faults ? badge(number(faults), "bad") : "0") },
      { name: "Most memory", class: "number", cell: ({ memory_bytes_max: most }) => bytes(most) },
    ], newest.slice(0, 7)),
  ];
}

/** The last lines of its log, and those that come. */
function logView(page, path) {
  const level = choice([["debug", "all lines"], ["info", "info and above"], ["warn", "warnings and errors"], ["error", "errors"]], { "aria-label": "Level" });
  const { element, draw } = region("div");
  const look = async () => {
    try {
      const lines = await get(path(`/logs${query({ level: level.value })}`), page.signal);
      draw(lines.length ? h("ol.log", { tabindex: 0, "aria-label": "Log" }, lines.slice(-200).map((line) => h(`li.${line.level}`, h("span.faint", clock(line.timestamp)), h("span.level", line.level), h("span", line.text))))
        : empty("It has said nothing", "What it logs, and what it writes to its output, is shown here."));
    } catch (error) {
      if (error.name === "AbortError") return;
      draw(empty("Its log cannot be read", error.words?.join(" ") ?? error.message));
    }
  };
  level.addEventListener("change", look);
  repeat(look, LOG_EVERY_MS, element, page.signal);
  look();
  return [h("div.filters", level), element];
}
