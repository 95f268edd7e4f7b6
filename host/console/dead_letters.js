// Messages that a module failed on: why, handing them in again, dropping them.

import { h } from "./dom.js";
import { call, query, session } from "./api.js";
import { action, button, code, confirmed, dialog, empty, head, pages, table, toast } from "./parts.js";
import { ago, plural, sentence } from "./words.js";

export function deadLetters(page) {
  const root = session.isOperator && page.account === session.account ? "dead_letters" : page.path("dead_letters");
  const list = pages((start) => call("GET", `${root}${query({ page_size: 50, start_key: start })}`, { signal: page.signal }), (rows) => table("Dead letters", [
    { name: "Kept", cell: (letter) => ago(letter.timestamp) },
    { name: "Module", cell: (letter) => letter.module ?? "none" },
    { name: "Message", cell: (letter) => h("code", letter.message.routing_key) },
    { name: "Why", class: "long", cell: (letter) => sentence(letter.reason) },
    { name: "", class: "end", cell: (letter) => h("span.actions.end",
      button("Show", () => dialog(letter.message.routing_key, (close) => [
        h("p", sentence(letter.reason)), code(JSON.stringify(letter.message.body, null, 2), "Message"),
        h("div.actions.end", button("Close", () => close())),
      ]), { class: "small", label: `Show letter ${letter.id}` }),
      action("Replay", async () => {
        const { data } = await call("POST", `${root}/${letter.id}/replay`);
        toast(`It worked: ${plural(data.events, "event")}, ${plural(data.firings, "firing")}`);
        list.load();
      }, { class: "small", label: `Replay letter ${letter.id}` }),
      action("Drop", async () => {
        if (!(await confirmed("Drop this letter?", "The message is gone then, for this module.", "Drop"))) return;
        await call("DELETE", `${root}/${letter.id}`);
        list.load();
      }, { class: "small quiet-danger", label: `Drop letter ${letter.id}` })) },
  ], rows), () => empty("No dead letters", "When a module fails on a message, the message is kept here, to be handed in again when the module is mended."), page.signal);
  list.load();
  return [
    h("p.crumbs", h("a", { href: page.link("modules") }, "Modules")),
    head("Dead letters", "Messages that a module failed on."),
    list.element,
  ];
}
