// Limits of an account's modules: what counts, and a form for whoever calls from an account above, which alone can set them.

import { h } from "./dom.js";
import { call, session } from "./api.js";
import { complainAt, field, table, text, toast } from "./parts.js";
import { number } from "./words.js";

const LIMITS = [
  ["time_limit_ms", "Time for a call, ms"], ["fuel_max", "Fuel for a call"],
  ["memory_bytes_max", "Memory of a call, bytes"], ["log_bytes_max", "Log of a call, bytes"],
  ["instances_per_module_max", "Calls of a module at once"], ["instances_per_account_max", "Calls of the account at once"],
  ["reuse_max", "Calls that an instance serves"], ["component_bytes_max", "A component, bytes"],
  ["modules_per_account_max", "Modules and transforms"], ["versions_per_module_max", "Versions of one of them"],
  ["upload_bytes_per_account_max", "All components, bytes"],
];

export function limits(page, config, again) {
  const { effective, set_for: setFor } = config._read_only;
  const whose = (key) => (setFor[key] ? `set for ${setFor[key] === page.account ? "this account" : setFor[key]}` : "the operator's");
  if (page.account === session.account) {
    return [
      table("Limits of modules", [
        { name: "Limit", cell: ([, label]) => label },
        { name: "Now", class: "number", cell: ([key]) => number(effective[key]) },
        { name: "Whose", cell: ([key]) => whose(key) },
      ], LIMITS),
      h("p.faint", session.isOperator ? "The operator's are in the settings file, under [modules]. Those of an account are set here when you look at it." : "An account above this one can change them."),
    ];
  }
  const fields = new Map(LIMITS.map(([key, label]) => [key,
    field(label, text({ type: "number", min: 0, value: config[key] ?? "" }), { optional: true, help: `Now: ${number(effective[key])}, ${whose(key)}` })]));
  const submit = async (event) => {
    event.preventDefault();
    for (const made of fields.values()) made.complain(null);
    const amount = ({ value }) => (value === "" ? null : Number(value));
    try {
      await call("PATCH", page.path("configs/webhook_modules"), { data: Object.fromEntries([...fields].map(([key, made]) => [key, amount(made.querySelector("input"))])) });
      toast("Saved; it counts on every node within a second");
      again();
    } catch (error) {
      complainAt(fields, error);
    }
  };
  return h("form.form", { on: { submit }, novalidate: true },
    h("p.faint", "They bind this account and all below it. An empty field takes what counts above."),
    h("div.row", [...fields.values()]), h("div.actions", h("button", { type: "submit" }, "Save the limits")));
}
