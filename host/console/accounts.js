// Accounts below, and the keys of the one that is looked at.

import { h, settle } from "./dom.js";
import { call, get, part, query, session } from "./api.js";
import { action, badge, button, confirmed, dialog, empty, facts, field, head, loaded, pages, panel, shownOnce, table, text, toast } from "./parts.js";
import { ago } from "./words.js";

export async function accounts(page) {
  const account = await get(`accounts/${part(page.account)}`, page.signal);
  const search = text({ type: "search", "data-search": true, placeholder: "Name or id", "aria-label": "Search accounts" });
  const fits = ({ id, name }) => [id, name].some((words) => words?.toLowerCase().includes(search.value.trim().toLowerCase()));
  const list = pages(async (start) => {
    const envelope = await call("GET", page.path(`descendants${query({ page_size: search.value.trim() ? 1000 : 100, start_key: start })}`), { signal: page.signal });
    return search.value.trim() ? { ...envelope, data: envelope.data.filter(fits) } : envelope;
  }, (rows) => table("Accounts below", [
    { name: "Account", cell: ({ id, name }) => h("a", { href: `#/${part(id)}/overview` }, name || id) },
    { name: "Id", cell: ({ id }) => h("code.wrap", id) },
    { name: "", cell: (row) => row.is_reseller && badge("reseller", "plain") },
    { name: "Realm", cell: ({ realm }) => realm ?? "–" },
    { name: "", class: "end", cell: ({ id, name }) => h("a.button.small", { href: `#/${part(id)}/overview`, "aria-label": `Look at ${name || id}` }, "Look at it") },
  ], rows), () => (search.value ? empty("No account is like that") : empty("No accounts below this one", "Each customer gets an account of its own: its hooks, keys and modules are nobody else's.")), page.signal);
  search.addEventListener("input", settle(list.load));
  list.load();
  const keys = loaded(() => get(page.path("keys"), page.signal), (rows, again) => [
    rows.length ? table("Keys", [
      { name: "Key", cell: ({ name, id }) => name || h("code", id) },
      { name: "Made", cell: ({ created }) => ago(created) },
      { name: "Last used", cell: ({ last_used: used }) => (used ? ago(used) : "never") },
      { name: "", class: "end", cell: (key) => action("Revoke", async () => {
        if (!(await confirmed("Revoke this key?", "Whoever uses it is shut out at once. If you are signed in with it, you are too.", "Revoke"))) return;
        await call("DELETE", page.path(`keys/${part(key.id)}`));
        toast("The key is revoked");
        again();
      }, { class: "small quiet-danger", label: `Revoke ${key.name || key.id}` }) },
    ], rows) : empty("No keys"),
    h("div.actions", action("New key", async () => {
      const name = await asked("New key", "What it is for", "Make the key");
      if (name === undefined) return;
      const { data } = await call("PUT", page.path("keys"), { data: { name } });
      await shownOnce("The key", "It is shown this once. It opens this account and all below.", data.api_key);
      again();
    })),
  ]);
  return [
    head("Accounts", "A key opens its own account and all below, nothing else.", action("New account below", async () => {
      const name = await asked("New account", "Name", "Make the account", true);
      if (!name) return;
      const { data } = await call("PUT", `accounts/${part(page.account)}`, { data: { name } });
      await shownOnce("The account is made", `This is a key of ${data.name}, shown this once.`, data.api_key);
      list.load();
    }, { class: "main" })),
    h("div.columns",
      panel(account.name, facts([["Id", h("code.wrap", account.id)], ["Realm", account.realm], ["Reseller", account.is_reseller && "yes"], ["Signed in", page.account === session.account && "this is your account"]])),
      panel("Keys", keys)),
    panel("Accounts below", h("div.filters", { role: "search" }, search), list.element),
  ];
}

/** Asks for a name; undefined when it is not said. */
const asked = (title, label, doIt, required) => dialog(title, (close) => {
  const name = text({ maxlength: 128 });
  const nameField = field(label, name);
  const submit = (event) => {
    event.preventDefault();
    if (required && !name.value.trim()) return nameField.complain("Say a name.");
    close(name.value.trim());
  };
  return h("form", { on: { submit }, novalidate: true }, nameField, h("div.actions.end", button("Cancel", () => close()), h("button.main", { type: "submit" }, doIt)));
});
