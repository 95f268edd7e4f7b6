// Attempts: the list, and one of them with what was sent and answered.

import { h, region, settle } from "./dom.js";
import { call, get, query, part } from "./api.js";
import { action, badge, choice, code, copyable, empty, facts, head, loaded, pages, panel, table, text, toast } from "./parts.js";
import { phases } from "./charts.js";
import { ago, exact, ms, nowS, pretty, shortId } from "./words.js";

const HOUR_S = 3600;
const SPANS = [["3600", "last hour"], ["86400", "last day"], ["604800", "last week"], ["2678400", "last month"]];

/** What came of an attempt, in two words. */
export function outcome(attempt) {
  if (attempt.dropped) return badge("dropped", "plain", "The hook's transform dropped it");
  const words = attempt.resp_status_code ?? attempt.client_error?.split(":")[0] ?? attempt.reason ?? "failed";
  return badge(words, attempt.result === "success" ? "good" : "bad", attempt.client_error ?? attempt.result);
}

export const attemptTable = (page, rows, { withHook = true } = {}) => table("Attempts", [
  { name: "Time", cell: (attempt) => h("a", { href: `#/${part(attempt.account_id)}/attempts/${attempt.id}` }, ago(attempt.timestamp)) },
  { name: "Outcome", cell: outcome },
  { name: "Event", cell: (attempt) => h("code", attempt.hook_event) },
  withHook && { name: "Hook", cell: (attempt) => h("a", { href: `#/${part(attempt.account_id)}/hooks/${attempt.hook_id}`, title: attempt.hook_id }, page.hookNames?.get(attempt.hook_id) ?? shortId(attempt.hook_id)) },
  { name: "Try", class: "number", cell: (attempt) => attempt.try },
  { name: "Took", class: "number", cell: (attempt) => ms(attempt.duration_ms) },
  { name: "To", class: "address", cell: (attempt) => h("span.uri", { title: attempt.uri }, `${attempt.method} ${attempt.uri}`) },
].filter(Boolean), rows);

/** The names of an account's hooks, by ids: as many as one page has. */
export async function hookNames(page) {
  const { data } = await call("GET", page.path("webhooks?page_size=1000"), { signal: page.signal });
  return new Map(data.map(({ id, name }) => [id, name || id]));
}

export async function attempts(page) {
  const [names, kinds] = await Promise.all([hookNames(page), get("webhooks?ascending=true", page.signal)]);
  page.hookNames = names;
  const asked = page.search.get("hook") ?? "";
  const hookChoices = [["", "all hooks"], ...names];
  if (asked && !names.has(asked)) hookChoices.push([asked, `a hook that is gone (${asked.slice(0, 8)}…)`]);
  const hook = choice(hookChoices, { value: asked, "aria-label": "Hook" });
  const event = choice([["", "all events"], ...kinds.map(({ id, name }) => [id, name])], { value: page.search.get("event") ?? "", "aria-label": "Event" });
  const result = choice([["", "all outcomes"], ["success", "delivered"], ["failure", "failed"]], { value: page.search.get("result") ?? "", "aria-label": "Outcome" });
  const status = text({ placeholder: "status, e.g. 503", inputmode: "numeric", size: 12, "aria-label": "Status of the answer", "data-search": true });
  const time = choice(SPANS, { value: page.search.get("span") ?? "86400", "aria-label": "Time" });
  const list = pages((start) => call("GET", page.path(`webhooks/${hook.value ? `${part(hook.value)}/` : ""}attempts${query({
    page_size: 50, start_key: start, created_from: nowS() - Number(time.value), filter_hook_event: event.value, filter_result: result.value, filter_resp_status_code: status.value.trim(),
  })}`), { signal: page.signal }), (rows) => attemptTable(page, rows), () => (hook.value || event.value || result.value || status.value
    ? empty("No attempt is like that", "Look further back, or at all outcomes.")
    : empty("Nothing was sent in this time", "Look further back, or test a hook.", h("a.button", { href: page.link("hooks") }, "Go to the hooks"))), page.signal);
  for (const control of [hook, event, result, time]) control.addEventListener("change", list.load);
  status.addEventListener("input", settle(list.load));
  list.load();
  return [
    head("Attempts", "What was sent, and what came back.", action("Look again", list.load)),
    h("div.filters", { role: "search" }, hook, event, result, status, time),
    list.element,
  ];
}

export async function attempt(page) {
  const attempt = await get(page.path(`webhooks/attempts/${part(page.rest[0])}`), page.signal);
  const hook = await get(page.path(`webhooks/${part(attempt.hook_id)}`), page.signal).catch(() => null);
  page.title(`Attempt ${attempt.hook_event}`);
  const isLast = attempt.retries_left === "retries exceeded";
  const others = loaded(async () => (await call("GET", page.path(`webhooks/${part(attempt.hook_id)}/attempts${query({
    filter_event_id: attempt.event_id, created_from: attempt.timestamp - HOUR_S, created_to: attempt.timestamp + HOUR_S, page_size: 20,
  })}`), { signal: page.signal })).data, (rows) => h("ol.tries", rows.reverse().map((row) => h("li", { class: row.id === attempt.id ? "this" : null },
    h("span.number", `Try ${row.try}`), outcome(row), row.id === attempt.id ? ago(row.timestamp) : h("a", { href: page.link("attempts", row.id) }, ago(row.timestamp)),
    row.next_try && row.next_try > nowS() && h("span.faint", "next ", ago(row.next_try))))), 1);
  const resend = action("Send again", async () => {
    const { data } = await call("POST", page.path(`webhooks/attempts/${part(attempt.id)}/resend`));
    toast(`Sent again, as ${data.webhook_id.slice(0, 12)}…; the receiver knows it by that id`);
    others.again();
  }, { class: "main" });
  return [
    h("p.crumbs", h("a", { href: page.link("attempts") }, "Attempts")),
    head(h("span", attempt.hook_event, " ", outcome(attempt)), h("span", ago(attempt.timestamp), `, ${exact(attempt.timestamp)}`), resend),
    attempt.result === "failure" && h("div.notice.bad", { role: "note" }, h("p", h("strong", whatWentWrong(attempt))), h("p.faint", whatNow(attempt, hook))),
    h("div.columns",
      panel("The try", facts([
        ["Hook", hook ? h("a", { href: page.link("hooks", hook.id) }, hook.name || hook.id) : h("span", shortId(attempt.hook_id), " (it is gone)")],
        ["Module", attempt.module],
        ["Took", ms(attempt.duration_ms)],
        ["Transform", attempt.transform && `${attempt.transform.module} ${attempt.transform.version}`],
        ["webhook-id", copyable(attempt.event_id)],
      ]), attempt.phases ? phases(attempt.phases) : null),
      panel("Tries of this event", others, h("p.faint", attempt.next_try > nowS() ? ["The next try: ", ago(attempt.next_try), `; ${attempt.retries_left} left.`] : isLast ? "There is no further try." : null))),
    h("div.columns.even",
      panel("Request", h("p.request-line", h("strong", attempt.method || "no request was made"), " ", h("span.uri", attempt.uri)),
        headerList(attempt.req_headers), attempt.req_body ? body(attempt.req_body, "Request body", attempt.req_headers) : h("p.faint", attempt.method === "GET" ? "A GET has no body." : "No body.")),
      panel("Response", attempt.resp_status_code
        ? [h("p.request-line", h("strong", attempt.resp_status_code)), headerList(attempt.resp_headers), attempt.resp_body ? body(attempt.resp_body, "Response body", attempt.resp_headers) : h("p.faint", "No body."), attempt.resp_body_cut && h("p.faint", "The answer went on; the rest was not read.")]
        : empty(attempt.dropped ? "Nothing was sent" : "There was no answer", attempt.client_error))),
  ];
}

const whatWentWrong = (attempt) => attempt.client_error ?? (attempt.resp_status_code ? `The receiver answered ${attempt.resp_status_code}.` : attempt.reason);

function whatNow(attempt, hook) {
  if (hook?.enabled === false) return "The hook is disabled: nothing is sent. When its receiver is mended, enable it, then send this again.";
  if (attempt.next_try > nowS()) return "It is tried again by itself.";
  if (attempt.next_try) return "It was tried again: the tries of this event say how that went.";
  return "It is not tried again by itself. When the receiver is mended, send it again: it has the same webhook-id, so nothing is taken twice.";
}

function headerList(headers) {
  const pairs = Object.entries(headers ?? {});
  return pairs.length > 0 && h("dl.headers", pairs.map(([name, value]) => h("div", h("dt", name), h("dd", value))));
}

/** A body as text, laid out when it is JSON or a form; as it came on demand. */
function body(raw, label, headers) {
  const type = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
  const laidOut = type.includes("x-www-form-urlencoded") ? [...new URLSearchParams(raw)].map(([name, value]) => `${name} = ${value}`).join("\n") : pretty(raw);
  const { element, draw } = region("div.body-text");
  let isRaw = false;
  const show = () => draw(laidOut !== raw && h("div.body-switch", action(isRaw ? "Laid out" : "As it was", () => { isRaw = !isRaw; show(); }, { class: "small" })), code(isRaw ? raw : laidOut, label));
  show();
  return element;
}
