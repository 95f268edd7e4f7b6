// How it stands at a glance; looked at anew every few seconds.

import { h, region } from "./dom.js";
import { call, get, part, session } from "./api.js";
import { action, badge, empty, head, panel, problem, repeat, skeleton, table, toast } from "./parts.js";
import { latency, minutes } from "./charts.js";
import { ms, number, sentence } from "./words.js";

const EVERY_MS = 5000;

export async function overview(page) {
  const { element, draw } = region("div.overview");
  draw(skeleton(8));
  const isAll = session.isOperator && page.account === session.account;
  async function look() {
    try {
      draw(...(await drawn(page, isAll, look)));
    } catch (error) {
      if (error.name !== "AbortError") draw(problem(error, look));
    }
  }
  await look();
  repeat(look, EVERY_MS, element, page.signal);
  return [
    head("Overview", isAll ? "All accounts, the last hour." : "This account, the last hour.",
      h("a.button", { href: page.link("playground") }, "Playground"), h("a.button.main", { href: page.link("hooks", "new") }, "New hook")),
    element,
  ];
}

async function drawn(page, isAll, look) {
  const { attempts, hooks, firings, modules } = await get(page.path("overview"), page.signal);
  const share = attempts.count ? (attempts.failed / attempts.count) * 100 : 0;
  const counted = (count) => (count >= firings.counted_max ? `${number(count)}+` : number(count));
  const tile = (name, value, about, kind = "") => h(`div.tile${kind && `.${kind}`}`, h("span.tile-name", name), h("strong", value), h("span.faint", about));
  return [
    h("div.tiles",
      tile("Attempts", number(attempts.count), attempts.is_cut ? "the newest of more" : "in the last hour"),
      tile("Failed", number(attempts.failed), attempts.count ? `${share.toFixed(share < 10 ? 1 : 0)} % of them` : "nothing sent", share >= 5 ? "bad" : ""),
      tile("p50", ms(attempts.p50_ms), "half are faster"),
      tile("p99", ms(attempts.p99_ms), "99 % are faster"),
      tile("Waiting", counted(firings.waiting), "to be tried again"),
      tile("Undelivered", counted(firings.undelivered), "given up", firings.undelivered ? "warn" : ""),
      tile("Hooks", number(hooks.count), isAll ? "enabled" : "in this account"),
      tile("Modules", number(modules.active), modules.in_quarantine.length ? `${modules.in_quarantine.length} in quarantine` : "active", modules.in_quarantine.length ? "warn" : "")),
    h("div.columns.wide-left",
      panel("Attempts by minute", attempts.count ? [minutes(attempts.minutes), h("p.legend", h("span.key.good", "delivered"), h("span.key.bad", "failed"))]
        : empty("Nothing was sent in the last hour", "Make a hook, or fire a test at one: its attempts are counted here.")),
      panel("Slowest of a hundred (p99)", attempts.p99_ms === null ? empty("Nothing was delivered yet") : latency(attempts.minutes))),
    h("div.columns",
      panel("Hooks that fail", hooks.failing.length ? failing(page, hooks.failing)
        : empty("No hook fails", "A hook that fails is named here, with how far it is from being switched off.")),
      panel("Switched off for failing", hooks.switched_off.length ? switchedOff(page, hooks.switched_off, look)
        : empty("No hook is switched off", isAll ? "Those of other accounts are named in their own overview." : null))),
    modules.in_quarantine.length > 0 && panel("Modules in quarantine", table("Modules in quarantine", [
      { name: "Module", cell: ({ id }) => moduleLink(page, id) },
      { name: "Why", class: "long", cell: ({ reason }) => sentence(reason) },
    ], modules.in_quarantine), h("p.faint", "It is not called any more, until its owner activates another version or lifts the quarantine.")),
  ];
}

const hookLink = (page, hook) => h("a", { href: `#/${[hook.account_id, "hooks", hook.id].map(part).join("/")}` }, hook.name || hook.id);

/** A tenant's module, `account/name`, is on its account's pages. */
function moduleLink(page, id) {
  const [account, name] = id.includes("/") ? id.split("/") : [page.account, id];
  return h("a", { href: `#/${[account, "modules", name].map(part).join("/")}` }, id);
}

const failing = (page, hooks) => table("Hooks that fail", [
  { name: "Hook", cell: (hook) => hookLink(page, hook) },
  { name: "Failures", class: "number", cell: ({ count, threshold }) => `${count} of ${threshold}` },
  { name: "Standing", cell: ({ standing }) => (standing === "at_threshold" ? badge("switched off now", "bad") : standing === "failing" ? badge("failing", "warn") : badge("healthy", "good")) },
], hooks);

const switchedOff = (page, hooks, look) => table("Hooks that are switched off", [
  { name: "Hook", cell: (hook) => hookLink(page, hook) },
  { name: "Why", class: "long", cell: ({ disable_reason: reason }) => reason },
  { name: "", class: "end", cell: (hook) => action("Enable", async () => {
    await call("PATCH", `accounts/${part(hook.account_id)}/webhooks/${part(hook.id)}`, { data: { enabled: true } });
    toast(`${hook.name || "The hook"} is enabled`);
    await look();
  }, { class: "small", label: `Enable ${hook.name || hook.id}` }) },
], hooks);
