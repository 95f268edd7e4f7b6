// What happens at this moment, read as server-sent events by `fetch`, so that the key stays in a header.

import { h, region } from "./dom.js";
import { listen, part } from "./api.js";
import { badge, button, choice, empty, head, problem, table, text } from "./parts.js";
import { outcome, hookNames } from "./attempts.js";
import { clock, ms, number, nowS, shortId } from "./words.js";

/** Rows that are kept, and how often they are drawn at most. */
const [ROWS_MAX, DRAW_MS, PAUSE_MS] = [300, 250, 2000];

export async function live(page) {
  const names = await hookNames(page);
  const [state, rows, wrong] = [region("span", { role: "status" }), region("div.pages"), region("div")];
  const search = text({ type: "search", "data-search": true, placeholder: "Event, hook, address", "aria-label": "Filter" });
  const result = choice([["", "everything"], ["failure", "what went wrong"], ["success", "what went well"]], { "aria-label": "What to show" });
  let [seen, count, isPaused, waiting, drawing] = [[], 0, false, 0, null];

  const fits = ({ kind, data }) => {
    const isBad = kind !== "attempt" || data.result !== "success";
    if (result.value && (result.value === "failure") !== isBad) return false;
    const wanted = search.value.trim().toLowerCase();
    return !wanted || [kind, data.hook_event, data.uri, data.hook_id, data.module, names.get(data.hook_id), data.reason].some((words) => String(words ?? "").toLowerCase().includes(wanted));
  };
  const draw = () => {
    drawing = null;
    // A row that has the keyboard stays where it is.
    if (rows.element.contains(document.activeElement)) return soon();
    const shown = seen.filter(fits);
    rows.draw(shown.length ? table("What happens", [
      { name: "Time", cell: ({ data }) => h("span.number", clock(data.timestamp ?? nowS())) },
      { name: "What", cell: what },
      { name: "Event", cell: ({ data }) => (data.hook_event ? h("code", data.hook_event) : "–") },
      { name: "Hook", cell: ({ data }) => (data.hook_id ? h("a", { href: `#/${part(data.account_id)}/hooks/${data.hook_id}` }, names.get(data.hook_id) ?? shortId(data.hook_id)) : data.module ?? "–") },
      { name: "Took", class: "number", cell: ({ data }) => (data.duration_ms === undefined ? "–" : ms(data.duration_ms)) },
      { name: "To, or why", class: "address", cell: ({ data }) => h("span.uri", { title: data.uri ?? data.reason }, data.uri ?? data.reason ?? "") },
    ], shown, { class: "live" }) : empty(seen.length ? "Nothing that came is like that" : "Listening", seen.length ? "Show everything, or search for less." : "Attempts appear here as they are made. Fire a test at a hook to see one.",
      !seen.length && h("a.button", { href: page.link("hooks") }, "Go to the hooks")));
    tell();
  };
  const soon = () => { drawing ??= setTimeout(draw, DRAW_MS); };
  let connection = badge("connecting", "plain");
  const tell = () => state.draw(connection, ` ${number(count)} since you came`, isPaused && waiting > 0 && `, ${number(waiting)} while paused`);
  const pause = button("Pause", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(isPaused));
    if (!isPaused) { waiting = 0; draw(); } else tell();
  }, { class: "main" });

  const hear = (kind, data) => {
    if (kind === "listening") {
      connection = badge("live", "good");
      wrong.draw();
      return tell();
    }
    if (kind === "again") return;
    if (kind === "missed") data.reason = `${number(data.count)} were missed: they came faster than they could be read`;
    count += 1;
    seen.unshift({ kind, data });
    seen.length = Math.min(seen.length, ROWS_MAX);
    if (isPaused) { waiting += 1; tell(); } else soon();
  };
  async function follow() {
    while (!page.signal.aborted) {
      try {
        await listen(page.path("live"), hear, page.signal);
      } catch (error) {
        if (error.name === "AbortError" || page.signal.aborted) return;
        wrong.draw(problem(error));
        if ([401, 403, 404].includes(error.status)) {
          connection = badge("not live", "bad");
          return tell();
        }
      }
      connection = badge("connecting again", "warn");
      tell();
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
  search.addEventListener("input", draw);
  result.addEventListener("change", draw);
  page.signal.addEventListener("abort", () => clearTimeout(drawing));
  draw();
  follow();
  return [
    head("Live", state.element, pause, button("Clear", () => { seen = []; draw(); })),
    h("div.filters", { role: "search" }, search, result),
    wrong.element, rows.element,
  ];
}

function what({ kind, data }) {
  if (kind === "attempt") return h("a", { href: `#/${part(data.account_id)}/attempts/${data.id}` }, outcome(data), data.try > 1 && ` try ${data.try}`);
  if (kind === "hook_disabled") return badge("hook switched off", "bad");
  if (kind === "module_quarantined") return badge("module in quarantine", "bad");
  return badge(kind, "warn");
}
