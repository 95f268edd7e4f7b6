// The playground: a message through a module, or a firing through a transform, in the real sandbox; and what a hook would be
// sent of it. Nothing is fired.

import { h, region } from "./dom.js";
import { call, get, part, query } from "./api.js";
import { action, badge, choice, code, empty, facts, field, head, loaded, panel, problem } from "./parts.js";
import { bytes, number, plural, sentence, us } from "./words.js";

export async function playground(page) {
  const [kinds, own, hooks] = await Promise.all([
    get("webhooks?ascending=true", page.signal), get(page.path("webhook_modules"), page.signal), get(page.path("webhooks?page_size=1000"), page.signal),
  ]);
  const names = new Map(kinds.map(({ id, name }) => [id, name]));
  for (const { id, kind } of own) if (!names.has(id)) names.set(id, kind === "transform" ? `${id} (transform)` : id);
  const module = choice([...names], { value: page.search.get("module") ?? [...names.keys()][0] });
  const [versionPlace, samplePlace] = [region("div"), region("div")];
  const message = h("textarea.code-input", { rows: 18, spellcheck: "false", "data-search": true });
  const messageField = field("Message", message, { help: "A message: exchange, routing key and body, as the platform publishes it. For a transform a firing: payload, and what else it looks at." });
  const [result, outgoing] = [region("div.stack", { "aria-live": "polite" }), region("div.stack", { "aria-live": "polite" })];
  const isTransform = () => own.some(({ id, kind }) => id === module.value && kind === "transform");
  let version = null;

  async function choose() {
    result.draw(empty("Run it to see what comes of it", "Events, log lines, fuel, time and memory are shown. Nothing is fired, kept or charged."));
    outgoing.draw();
    version = null;
    versionPlace.draw();
    samplePlace.draw();
    const mine = own.find(({ id, own }) => id === module.value && own);
    const [samples, versions] = await Promise.all([
      isTransform() ? firings(kinds, page.signal) : get(page.path(`webhook_modules/${part(module.value)}/messages`), page.signal),
      mine ? get(page.path(`webhook_modules/${part(module.value)}/versions`), page.signal) : [],
    ]);
    if (versions.length) {
      version = choice(versions.map((one) => [one.digest, `${one.version}${one.active ? " (active)" : ""}`]), { value: (versions.find(({ active }) => active) ?? versions[0]).digest });
      versionPlace.draw(field("Version", version));
    }
    const take = (sample) => { message.value = JSON.stringify(sample.message ?? sample.firing, null, 2); messageField.complain(null); };
    const sample = choice(samples.map(({ name, about }, place) => [String(place), about ? `${name}: ${about}` : name]), { on: { change: () => take(samples[Number(sample.value)]) } });
    samplePlace.draw(field("Sample", sample));
    if (samples.length) take(samples[0]);
  }

  const run = action("Run", async () => {
    messageField.complain(null);
    let data;
    try {
      data = { [isTransform() ? "firing" : "message"]: JSON.parse(message.value) };
    } catch (error) {
      return messageField.complain(`This is no JSON: ${error.message}`);
    }
    if (version) data.version = version.value;
    try {
      const { data: came } = await call("POST", page.path(`webhook_modules/${part(module.value)}/test`), { data });
      result.draw(shown(came));
      outgoing.draw(came.events?.length > 0 && panel("What a hook would be sent", preview(page, hooks, came.events)));
    } catch (error) {
      if (error.name === "AbortError") return;
      result.draw(problem(error));
      outgoing.draw();
    }
  }, { class: "main" });

  module.addEventListener("change", () => choose().catch((error) => result.draw(problem(error))));
  message.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run.click(); });
  await choose();
  return [
    head("Playground", "A message through a module, or a firing through a transform, in the real sandbox. Nothing is fired."),
    h("div.columns.even",
      panel("Message", h("div.row", field("Module", module), versionPlace.element, samplePlace.element), messageField,
        h("div.actions", run, h("span.hint", h("kbd", "Ctrl"), " + ", h("kbd", "Enter")))),
      panel("What came of it", result.element)),
    outgoing.element,
  ];
}

/** What hooks are sent, as firings to try a transform out with: the first sample of each event. */
async function firings(kinds, signal) {
  const withSamples = await get("webhooks/samples", signal);
  const ofEvent = async ({ id, name }) => {
    const [payload] = await get(`webhooks/samples/webhooks_${part(id)}`, signal);
    return { name, firing: { hook_event: id, verb: "post", uri: "https://receiver.example.com/in", payload } };
  };
  const found = await Promise.all(kinds.filter(({ id }) => withSamples.includes(`webhooks_${id}`)).map(ofEvent));
  return found.length ? found : [{ name: "made up", firing: { hook_event: "object", payload: {} } }];
}

const OUTCOMES = {
  to_send: ["good", () => "to be sent"], dropped: ["plain", () => "dropped"],
  events: ["good", ({ events }) => plural(events.length, "event")], not_mine: ["plain", () => "not its message"],
  malformed: ["warn", () => "malformed"], failed: ["bad", () => "failed"],
};

function shown(came) {
  const [kind, words] = OUTCOMES[came.outcome] ?? ["plain", () => came.outcome];
  return [
    h("p", badge(words(came), kind), came.wanted === false && [" ", badge("its bindings do not ask for this", "warn", "On a real host it would not have been handed this message")]),
    came.reason && h("p", sentence(came.reason)),
    h("div.tiles.few",
      ...[["Fuel", number(came.fuel)], ["Time", us(came.time_us)], ["Memory", bytes(came.memory_bytes)], ["Version", came.version]].map(([name, value]) => h("div.tile", h("span.tile-name", name), h("strong", value)))),
    came.firing && [h("h3", "What would be sent"), code(JSON.stringify(came.firing, null, 2), "Firing")],
    came.events?.map((event, place) => [
      h("h3", `Event ${place + 1}: `, h("code", event.hook_event)),
      facts([["Account", h("code.wrap", event.account_id)], ["Facets", event.facets.length > 0 && event.facets.map(([name, value]) => `${name} = ${value}`).join(", ")], ["Internal leg", event.internal_leg && "yes"], ["Hook in the message", event.has_inline_hook && "yes"]]),
      code(JSON.stringify(event.payload, null, 2), `Payload of event ${place + 1}`),
    ]),
    h("h3", "Log"),
    came.log.length ? h("ol.log", { tabindex: 0, "aria-label": "Log" }, came.log.map(({ level, text }) => h(`li.${level}`, h("span.level", level), h("span", text)))) : h("p.faint", "It said nothing."),
    came.log_dropped_bytes > 0 && h("p.faint", `${bytes(came.log_dropped_bytes)} more were dropped.`),
  ];
}

/** The very request that a hook of the account would be sent of an event. */
function preview(page, hooks, events) {
  const fitting = hooks.filter(({ hook }) => hook === "all" || events.some(({ hook_event: event }) => event === hook));
  if (!fitting.length) {
    return empty("No hook of this account takes this event", "Make one, then come back.", h("a.button", { href: `${page.link("hooks", "new")}${query({ event: events[0].hook_event })}` }, "New hook"));
  }
  const which = choice(fitting.map(({ id, name }) => [id, name || id]));
  const { element, draw } = region("div.stack");
  const look = () => {
    const hook = fitting.find(({ id }) => id === which.value);
    const event = events.find(({ hook_event: name }) => hook.hook === "all" || name === hook.hook);
    const data = { payload: event.payload, ...(hook.hook === "all" ? { event: event.hook_event } : {}) };
    draw(loaded(async () => (await call("POST", page.path(`webhooks/${part(hook.id)}/preview`), { data, signal: page.signal })).data, (made) => (made.method
      ? [h("p.request-line", h("strong", made.method), " ", h("span.uri", made.uri)), h("dl.headers", Object.entries(made.headers).map(([name, value]) => h("div", h("dt", name), h("dd", value)))),
        made.body && code(made.body, "Body of the request"), made.transform && h("p.faint", `Through ${made.transform.module} ${made.transform.version}: ${number(made.transform.fuel)} fuel, charged as any call of it.`)]
      : empty(made.dropped ? "The hook's transform drops it" : "No request can be made", made.problem)), 3));
  };
  which.addEventListener("change", look);
  look();
  return [field("Hook", which), element];
}
