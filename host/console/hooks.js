// Hooks: the list, and one of them.

import { h, region, settle } from "./dom.js";
import { call, get, part, query } from "./api.js";
import { action, badge, choice, confirmed, dialog, empty, facts, field, head, loaded, pages, panel, shownOnce, table, text, toast, button, code } from "./parts.js";
import { strip } from "./charts.js";
import { attemptTable, outcome } from "./attempts.js";
import { ago, number, plural, pretty } from "./words.js";

/** A page of a list that nobody searches, and of one that is searched: then more have to be looked at. */
const [PAGE, SEARCHED] = [100, 1000];

export const standing = (hook) => {
  if (hook.disable_reason) return badge("switched off", "bad", hook.disable_reason);
  return hook.enabled === false ? badge("disabled", "plain") : badge("enabled", "good");
};

export function hooks(page) {
  const search = text({ type: "search", "data-search": true, placeholder: "Name, address or event", value: page.search.get("search") ?? "", "aria-label": "Search hooks" });
  const state = choice([["", "all"], ["enabled", "enabled"], ["disabled", "disabled"], ["off", "switched off for failing"]],
    { "aria-label": "State", value: page.search.get("state") ?? "" });
  const fits = (hook) => [hook.name, hook.uri, hook.hook, hook.id].some((words) => words?.toLowerCase().includes(search.value.trim().toLowerCase()));
  const fetch = async (start) => {
    const wanted = search.value.trim();
    const filters = { enabled: { filter_enabled: true }, disabled: { filter_enabled: false }, off: { has_key: "disable_reason" } }[state.value];
    const envelope = await call("GET", page.path(`webhooks${query({ page_size: wanted ? SEARCHED : PAGE, start_key: start, ...filters })}`), { signal: page.signal });
    return wanted ? { ...envelope, data: envelope.data.filter(fits) } : envelope;
  };
  const nothing = () => (search.value || state.value
    ? empty("No hook is like that", "Search for less, or look at all states.")
    : empty("No hooks yet", "A hook says who is told of what: an event, and the address that its requests go to.", h("a.button.main", { href: page.link("hooks", "new") }, "Make the first hook")));
  const list = pages(fetch, (rows) => table("Hooks", [
    { name: "Hook", cell: (hook) => h("a", { href: page.link("hooks", hook.id) }, hook.name || hook.id) },
    { name: "Event", cell: (hook) => h("code", hook.hook) },
    { name: "Address", class: "address", cell: (hook) => h("span.uri", { title: hook.uri }, hook.uri) },
    { name: "State", cell: standing },
  ], rows), nothing, page.signal);
  search.addEventListener("input", settle(list.load));
  state.addEventListener("change", list.load);
  list.load();
  return [
    head("Hooks", "Who is told of what.", h("a.button.main", { href: page.link("hooks", "new") }, "New hook")),
    h("div.filters", { role: "search" }, search, state, h("span.hint", h("kbd", "/"), " to search")),
    list.element,
  ];
}

export async function hook(page) {
  const [id] = page.rest;
  const own = (rest = "") => page.path(`webhooks/${part(id)}${rest}`);
  const hook = await get(own(), page.signal);
  page.title(hook.name || "Hook");
  const [attempts, failures] = [region("div"), region("div")];
  const recent = loaded(async () => (await call("GET", own("/attempts?page_size=60"), { signal: page.signal })).data, (rows) => {
    attempts.draw(rows.length > 0 && strip(rows));
    return rows.length ? [attemptTable(page, rows.slice(0, 10), { withHook: false }), h("p", h("a", { href: `${page.link("attempts")}?hook=${part(id)}` }, "All attempts of this hook"))]
      : empty("It has sent nothing yet", "Test it: a sample of its event is sent, and what comes back is shown.");
  });
  const stands = loaded(() => get(own("/failures"), page.signal), ({ count, threshold, window_ms, standing: word }) => facts([
    hook.enabled === false ? ["Now", h("span", standing(hook), " it sends nothing")] : ["Failures now", h("span", `${count} of ${threshold} `, word === "healthy" ? badge("healthy", "good") : badge(word === "failing" ? "failing" : "at the threshold", word === "failing" ? "warn" : "bad"))],
    ["Counted over", `${number(window_ms / 1000)} s`],
  ]));
  const undelivered = loaded(async () => call("GET", own("/undelivered?page_size=20"), { signal: page.signal }), (envelope, again) => undeliveredList(page, hook, envelope, again));
  const change = async (data, words) => {
    await call("PATCH", own(), { data });
    toast(words);
    page.refresh();
  };
  const actions = [
    action("Test", async () => { if (await testDialog(page, hook)) recent.again(); }, { class: "main" }),
    h("a.button", { href: page.link("hooks", id, "edit") }, "Edit"),
    hook.enabled === false
      ? action("Enable", () => change({ enabled: true }, "The hook is enabled"))
      : action("Disable", () => change({ enabled: false }, "The hook is disabled")),
    action("New secret", async () => {
      if (!(await confirmed("Make a new secret?", "Requests are signed with the old one too for a while, so that the receiver can follow.", "Make a new secret"))) return;
      const { data } = await call("POST", own("/secret"));
      await shownOnce("The new secret", "It is shown this once. Give it to the receiver.", data.secret);
    }),
    action("Delete", async () => {
      if (!(await confirmed("Delete this hook?", "What it still had to send is dropped. Its attempts stay listed.", "Delete"))) return;
      await call("DELETE", own());
      toast("The hook is gone");
      page.go("hooks");
    }, { class: "quiet-danger" }),
  ];
  return [
    h("p.crumbs", h("a", { href: page.link("hooks") }, "Hooks")),
    head(hook.name || id, h("span", standing(hook), " ", h("code", hook.hook)), actions),
    hook.disable_reason && h("div.notice.bad", { role: "note" }, h("p", h("strong", `Switched off: ${hook.disable_reason}.`)),
      h("p", "See below what its receiver answered. When that is mended, enable the hook; what was not delivered can then be sent again.")),
    h("div.columns",
      panel("What it does", facts([
        ["Address", h("span.uri", hook.uri)],
        ["Request", `${(hook.http_verb ?? "post").toUpperCase()}, ${hook.http_verb === "get" ? "query string" : hook.format === "json" ? "JSON" : "form"}`],
        ["Chooses", chosen(hook.custom_data)],
        ["Conditions", hook.filter && h("ul.plain", hook.filter.map(({ pointer, op, value }) => h("li", h("code", `${pointer} ${op} ${JSON.stringify(value ?? "")}`))))],
        ["Headers", hook.headers && Object.keys(hook.headers).map((name) => h("div", h("code", `${name}: (hidden)`)))],
        ["Transform", hook.transform && h("a", { href: page.link("modules", hook.transform.module) }, `${hook.transform.module} ${hook.transform.version ?? "active"}`)],
        ["Tries", hook.retry_schedule_s ? (hook.retry_schedule_s.length ? `again after ${hook.retry_schedule_s.join(", ")} s` : "one") : `${1 + (hook.retries ?? 2)} at most`],
        ["Time for a try", hook.timeout_ms && `${number(hook.timeout_ms)} ms`],
        ["At once", hook.max_in_flight && `${hook.max_in_flight} requests`],
        ["Most a second", hook.rate_limit_per_s],
        ["Accounts below", hook.include_subaccounts && "fire it too"],
        ["Internal legs", hook.include_internal_legs === false && "do not fire it"],
        ["Signed by", hook.signature ?? "hmac"],
        ["Id", h("code", id)],
      ])),
      panel("How it stands", attempts.element, stands)),
    panel("Last attempts", recent),
    panel("Never delivered", undelivered),
  ];
}

const chosen = (data) => data && Object.keys(data).length > 0 && Object.entries(data).map(([name, value]) => h("div", h("code", `${name} = ${typeof value === "string" ? value : JSON.stringify(value)}`)));

function undeliveredList(page, hook, { data, next_start_key: more }, again) {
  if (!data.length) return empty("Everything has been delivered", "What is given up after its last try is listed here, and can be sent again.");
  const resend = async (ids) => {
    const { data: { resent } } = await call("POST", page.path(`webhooks/${part(hook.id)}/resend`), { data: ids ? { ids } : {} });
    toast(`${plural(resent, "firing")} sent again`);
    again();
  };
  return [
    h("div.actions", action("Send all again", () => resend(), { disabled: hook.enabled === false, title: hook.enabled === false ? "Enable the hook first" : "" })),
    table("Never delivered", [
      { name: "Given up", cell: (row) => ago(row.ended) },
      { name: "Event", cell: (row) => h("code", row.hook_event) },
      { name: "Tries", class: "number", cell: (row) => row.tries },
      { name: "Why", class: "long", cell: (row) => row.reason },
      { name: "", class: "end", cell: (row) => action("Send again", () => resend([row.id]), { class: "small", disabled: hook.enabled === false }) },
    ], data),
    more && h("p.faint", "There are more."),
  ];
}

/** Fires a test, and shows what came of it. Gives whether one was fired. */
async function testDialog(page, hook) {
  let fired = false;
  const kinds = await get("webhooks?ascending=true", page.signal);
  await dialog("Test the hook", (close) => {
    const event = choice(kinds.map(({ id, name }) => [id, name]), { value: hook.hook === "all" ? kinds[0]?.id : hook.hook });
    const payload = h("textarea", { rows: 5, spellcheck: "false", placeholder: "{ }  – empty: a sample of the event" });
    const payloadField = field("Payload", payload, { optional: true, help: "A JSON object in the place of the event's sample." });
    const answered = region("div.stack", { "aria-live": "polite" });
    const fire = action("Send it", async () => {
      payloadField.complain(null);
      const data = hook.hook === "all" ? { event: event.value } : {};
      if (payload.value.trim()) {
        try {
          data.payload = JSON.parse(payload.value);
        } catch (error) {
          return payloadField.complain(`This is no JSON: ${error.message}`);
        }
      }
      const { data: attempt } = await call("POST", page.path(`webhooks/${part(hook.id)}/test`), { data });
      fired = true;
      answered.draw(attempt.id
        ? [h("p", outcome(attempt), " ", h("a", { href: page.link("attempts", attempt.id), on: { click: () => close() } }, "See the attempt")), attempt.resp_body && code(pretty(attempt.resp_body), "Answer")]
        : h("p", "The receiver has not answered yet; the attempt is listed when it has."));
    }, { class: "main" });
    return [
      h("p.faint", "One request, made as for a real event. Nothing is tried again, and a failure does not count."),
      hook.hook === "all" && field("Event", event), payloadField, answered.element,
      h("div.actions.end", button("Close", () => close()), fire),
    ];
  });
  return fired;
}
