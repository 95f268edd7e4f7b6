// Settings: when hooks are switched off, of the account and of the system; what its modules may use; and how the console looks.

import { h } from "./dom.js";
import { call, get, session } from "./api.js";
import { limits } from "./limits.js";
import { choice, complainAt, facts, field, head, loaded, panel, text, toast } from "./parts.js";
import { setTheme, theme } from "./theme.js";
import { number } from "./words.js";

export function settings(page) {
  const look = choice([["system", "as the system says"], ["light", "light"], ["dark", "dark"]], { value: theme(), on: { change: () => setTheme(look.value) } });
  return [
    head("Settings", "When hooks that fail are switched off, what modules may use, and how the console looks."),
    panel("When this account's hooks are switched off", loaded(() => get(page.path("configs/webhooks"), page.signal), (config, again) => form(config, page.path("configs/webhooks"), again, false))),
    panel("What this account's modules may use", loaded(() => get(page.path("configs/webhook_modules"), page.signal), (config, again) => limits(page, config, again))),
    session.isOperator && panel("The system's", loaded(() => get("system_configs/webhooks", page.signal), (config, again) => form(config, "system_configs/webhooks", again, true))),
    panel("The console", h("div.form", field("Colours", look)), facts([
      ["Signed in as", `${session.name}${session.isOperator ? ", the operator" : ""}`],
      ["Key", "kept in this tab only, and sent in a header"],
      ["Interface", h("a", { href: "/openapi.json" }, "/openapi.json: everything the console does, over REST")],
    ])),
  ];
}

function form(config, path, again, isSystem) {
  const { effective } = config._read_only;
  const count = text({ type: "number", min: 1, value: config.attempt_failure_count ?? "", placeholder: number(effective.attempt_failure_count) });
  const expiry = text({ type: "number", min: 1000, value: config.attempt_failure_expiry_ms ?? "", placeholder: number(effective.attempt_failure_expiry_ms) });
  const off = choice([["", "as the settings file says"], ["false", "switched off when they fail"], ["true", "never switched off"]], { value: config.disable_disabler === undefined ? "" : String(config.disable_disabler) });
  const fields = new Map([
    ["attempt_failure_count", field("Failures", count, { optional: true, help: `Now: ${number(effective.attempt_failure_count)}` })],
    ["attempt_failure_expiry_ms", field("within, ms", expiry, { optional: true, help: `Now: ${number(effective.attempt_failure_expiry_ms)}` })],
  ]);
  if (isSystem) fields.set("disable_disabler", field("Hooks are", off));
  const submit = async (event) => {
    event.preventDefault();
    for (const made of fields.values()) made.complain(null);
    const amount = (control) => (control.value === "" ? null : Number(control.value));
    const data = { attempt_failure_count: amount(count), attempt_failure_expiry_ms: amount(expiry) };
    if (isSystem) data.disable_disabler = off.value === "" ? null : off.value === "true";
    try {
      await call("PATCH", path, { data });
      toast("Saved; it counts on every node within a second");
      again();
    } catch (error) {
      complainAt(fields, error);
    }
  };
  return h("form.form", { on: { submit }, novalidate: true },
    h("p.faint", effective.disable_disabler ? "Hooks are never switched off for failing (disable_disabler)." : `A hook is switched off at ${number(effective.attempt_failure_count)} failures within ${number(effective.attempt_failure_expiry_ms / 1000)} s. An empty field takes what counts above.`),
    h("div.row", [...fields.values()]), h("div.actions", h("button", { type: "submit" }, "Save")));
}
