// Modules and transforms: what there is, and bringing one.

import { h, region } from "./dom.js";
import { get, part, query, upload } from "./api.js";
import { badge, check, empty, facts, field, head, loaded, panel, problem, table, text, toast } from "./parts.js";
import { ago, bytes, number, sentence, us } from "./words.js";

const NAME = /^[a-z0-9_]{1,64}$/;

export const moduleState = (module) => {
  if (module.quarantine) return badge("in quarantine", "bad", module.quarantine.reason);
  if (module.set_aside) return badge("set aside", "warn", module.set_aside);
  return module.active ? badge(`active ${module.active.version ?? ""}`, "good") : badge("no version active", "plain");
};

export async function modules(page) {
  const own = loaded(() => get(page.path("webhook_modules"), page.signal), (rows) => rows.length
    ? table("Modules and transforms of the account", [
      { name: "Name", cell: (module) => h("a", { href: page.link("modules", module.id) }, module.id) },
      { name: "Kind", cell: ({ kind }) => kind },
      { name: "State", cell: moduleState },
      { name: "Whose", cell: (module) => (module.own ? (module.offered ? "yours, offered to accounts below" : "yours") : "an account above offers it") },
      { name: "Made", cell: ({ created }) => ago(created) },
    ], rows)
    : empty("No modules of your own yet", sentence("A module makes events of messages; a transform rewrites what one hook sends. Begin with `hookbox module new`, or upload a component below.")));
  const operators = loaded(() => get("webhooks?ascending=true", page.signal), (rows) => table("Events that hooks can take", [
    { name: "Event", cell: ({ id, name }) => h("span", h("a", { href: page.link("modules", id) }, name), " ", h("code", id)) },
    { name: "What it tells of", class: "long", cell: ({ description }) => sentence(description) },
    { name: "", class: "end", cell: ({ id }) => h("a.button.small", { href: `${page.link("playground")}?module=${part(id)}`, "aria-label": `Try ${id}` }, "Try") },
  ], rows));
  return [
    head("Modules", "Sandboxed components that make events of messages, and transforms of what hooks send.",
      h("a.button", { href: page.link("modules", "dead-letters") }, "Dead letters")),
    panel("Of this account", own),
    panel("Upload a component", uploadForm(page, null, () => own.again())),
    panel("Events that hooks can take", operators),
  ];
}

/** Uploading: how far it is, then what the check found. `name` is fixed on a module's own page. */
export function uploadForm(page, name, done) {
  const module = text({ value: name ?? "", placeholder: "my_module", maxlength: 64 });
  const file = h("input", { type: "file", accept: ".wasm,application/wasm" });
  const version = text({ placeholder: "1.2.3", size: 8 });
  const activate = check("Activate it when the check passes", {});
  const [moduleField, fileField] = [field("Name", module, { help: "As in its metadata: a-z, 0-9 and _" }), field("Component", file, { help: sentence("A WebAssembly component, as `hookbox module build` makes it.") })];
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Upload" });
  const result = region("div", { "aria-live": "polite" });
  file.addEventListener("change", () => {
    const guess = file.files[0]?.name.replace(/\.wasm$/, "").replace(/-/g, "_").toLowerCase();
    if (!module.value && guess && NAME.test(guess)) module.value = guess;
  });
  const send = async (event) => {
    event.preventDefault();
    const [chosen, called] = [file.files[0], name ?? module.value.trim()];
    moduleField.complain(NAME.test(called) ? null : "A name has 1 to 64 of a-z, 0-9 and _.");
    fileField.complain(chosen ? null : "Choose a file.");
    if (!chosen || !NAME.test(called)) return;
    go.disabled = true;
    bar.value = 0;
    const said = h("span.faint", "sending…");
    result.draw(h("div.progress", bar, said));
    try {
      const path = page.path(`webhook_modules/${part(called)}/versions${query({ activate: activate.box.checked || undefined, version: version.value.trim() })}`);
      const kept = await upload(path, chosen, (share) => {
        bar.value = share;
        said.textContent = share < 1 ? `${Math.round(share * 100)} % of ${bytes(chosen.size)}` : "checking and compiling…";
      }, page.signal);
      toast(`${called} ${kept.version} is kept${kept.active ? " and active" : ""}`);
      result.draw(h("div.notice.good", h("p", h("strong", `${called} ${kept.version} passed the check.`), kept.active ? " It is active." : [" It is not active yet. ", !name && h("a", { href: page.link("modules", called) }, "Activate it on its page")])), report(kept));
      done(kept);
    } catch (error) {
      if (error.name !== "AbortError") result.draw(problem(error));
    } finally {
      go.disabled = false;
    }
  };
  const go = h("button.main", { type: "submit" }, "Upload");
  return h("form.form", { on: { submit: send }, novalidate: true },
    h("div.row", !name && moduleField, fileField, field("Version", version, { optional: true, help: "Of a transform; a module says its own." })),
    activate, h("div.actions", go), result.element);
}

/** What the check of an upload found. */
export function report(version) {
  const { report } = version;
  const trials = report.trials;
  return h("div.report",
    facts([
      ["Kind", version.kind], ["Size", bytes(version.size_bytes)], ["SHA-256", h("code.wrap", version.digest)],
      ["Functions", report.shape && number(report.shape.functions)], ["Memories", report.shape && number(report.shape.memories)],
    ]),
    h("h3", "Steps of the check"),
    h("ul.steps", report.steps.map(({ step, took_ms: took }) => h("li", h("span.tick", { "aria-hidden": "true" }, "✓"), h("span", step), h("span.faint", us(Math.round(took * 1000)))))),
    report.warnings.length > 0 && [h("h3", "Better mended"), h("ul.warnings", report.warnings.map((warning) => h("li", warning)))],
    trials && [h("h3", "With the last messages"), facts([
      ["Messages", number(trials.messages)], ["Events", number(trials.events)], ["Not its own", number(trials.not_mine)], ["Failed on", number(trials.failed)],
      ["Fuel", spread(trials.fuel, number)], ["Time", spread(trials.took_us, us)], ["Memory", spread(trials.memory_bytes, bytes)],
    ]), trials.faults.length > 0 && h("ul.warnings", trials.faults.map(({ kind, reason }) => h("li", `${kind}: ${reason}`)))],
    h("details", h("summary", `${report.imports.length} imports, and what each amounts to`), h("dl.headers", report.imports.map(({ name, means }) => h("div", h("dt", name), h("dd", means))))));
}

const spread = ({ min, median, max }, words) => `${words(median)} (${words(min)} to ${words(max)})`;
