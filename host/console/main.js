// Where it begins: who is signed in, which page an address means, what stands around the page.

import { theme, nextTheme } from "./theme.js";
import { h, fill } from "./dom.js";
import { session, signOut, get, part } from "./api.js";
import { problem, skeleton, button } from "./parts.js";
import { signInPage } from "./sign_in.js";
import { overview } from "./overview.js";
import { hooks, hook } from "./hooks.js";
import { hookForm } from "./hook_form.js";
import { attempts, attempt } from "./attempts.js";
import { live } from "./live.js";
import { modules } from "./modules.js";
import { module } from "./module.js";
import { playground } from "./playground.js";
import { deadLetters } from "./dead_letters.js";
import { accounts } from "./accounts.js";
import { settings } from "./settings.js";

/** In the order of the menu: what an address begins with, the name, and the page. */
const PAGES = [
  ["overview", "Overview", overview],
  ["hooks", "Hooks", hooksPages],
  ["attempts", "Attempts", (page) => (page.rest[0] ? attempt(page) : attempts(page))],
  ["live", "Live", live],
  ["modules", "Modules", (page) => (page.rest[0] === "dead-letters" ? deadLetters(page) : page.rest[0] ? module(page) : modules(page))],
  ["playground", "Playground", playground],
  ["accounts", "Accounts", accounts],
  ["settings", "Settings", settings],
];

function hooksPages(page) {
  const [id, what] = page.rest;
  if (id === "new" || what === "edit") return hookForm(page);
  return id ? hook(page) : hooks(page);
}

const app = document.getElementById("app");
let leaving = new AbortController();
let shell = null;
let names = new Map();

/**
 * A part of an address; one that nobody can have made here is taken as it is. Dots are nothing: in the path of a call they
 * would lead to something else than what the page is about.
 */
function decoded(words) {
  let read = words;
  try {
    read = decodeURIComponent(words);
  } catch {
    // It is taken as it is.
  }
  return read === "." || read === ".." ? "" : read;
}

/** `#/ACCOUNT/PAGE/…?NAME=VALUE` taken apart. */
function address() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [account, name, ...rest] = path.split("/").map(decoded);
  return { account: account || session?.account, name: name || "overview", rest, search: new URLSearchParams(search) };
}

function show() {
  leaving.abort();
  leaving = new AbortController();
  if (!session) {
    shell = null;
    document.title = "Sign in · Hookbox";
    fill(app, signInPage(() => show()));
    return;
  }
  const { account, name, rest, search } = address();
  const [id, title, draw] = PAGES.find(([id]) => id === name) ?? PAGES[0];
  if (!shell) shell = frame();
  shell.at(account, id);
  document.title = `${title} · Hookbox`;
  const signal = leaving.signal;
  const page = {
    account, rest, search, signal,
    /** The address of a page of this account. */
    link: (...parts) => `#/${[account, ...parts].map(part).join("/")}`,
    go: (...parts) => { location.hash = page.link(...parts).slice(1); },
    path: (path) => `accounts/${part(account)}/${path}`,
    title: (words) => { document.title = `${words} · Hookbox`; },
    refresh: show,
  };
  const main = shell.main;
  fill(main, skeleton(6));
  Promise.resolve()
    .then(() => draw(page))
    .then((content) => {
      if (signal.aborted) return;
      fill(main, content);
      window.scrollTo(0, 0);
      // Who listens to the page is told where it is now.
      if (shell.isMoved) main.querySelector("h1")?.focus({ preventScroll: true });
      shell.isMoved = true;
    })
    .catch((error) => {
      if (!signal.aborted && error.name !== "AbortError") fill(main, problem(error, show));
    });
}

/** What stands around each page. */
function frame() {
  const main = h("main", { id: "main", tabindex: -1 });
  const nav = h("nav", { "aria-label": "Pages" });
  const accountName = h("span.account-name");
  const themeButton = button(themeWords(theme()), nextTheme, { class: "bare", title: "Light, dark, or as the system says" });
  fill(app,
    h("a.skip", { href: "#main", on: { click: (event) => { event.preventDefault(); main.focus(); } } }, "Skip to the page"),
    h("header.top",
      h("a.brand", { href: "#/" }, h("span.mark", { "aria-hidden": "true" }), "Hookbox"),
      h("div.top-right",
        h("span.who", { title: "The account that you look at" }, accountName),
        themeButton,
        button("Sign out", () => signOut(), { class: "bare" }))),
    h("div.body", nav, main));
  let current = null;
  async function nameOf(account) {
    if (account === session.account) return session.name;
    if (!names.has(account)) names.set(account, get(`accounts/${part(account)}`).then(({ name }) => name, () => account));
    return names.get(account);
  }
  return {
    main,
    isMoved: false,
    showTheme: () => fill(themeButton, themeWords(theme())),
    at(account, id) {
      fill(nav, PAGES.map(([page, title]) =>
        h("a", { href: `#/${part(account)}/${page}`, "aria-current": page === id ? "page" : null }, title)));
      nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
      if (current !== account) {
        current = account;
        fill(accountName, account === session.account ? session.name : "…");
        nameOf(account).then((name) => {
          if (current !== account || !session) return;
          fill(accountName, name, account !== session.account && [" ", h("a", { href: `#/${part(session.account)}/overview` }, "back to yours")]);
        });
      }
    },
  };
}

const themeWords = (choice) => {
  const [sign, word] = { system: ["◐", "System"], light: ["☀", "Light"], dark: ["☾", "Dark"] }[choice];
  return [h("span", { "aria-hidden": "true" }, sign), h("span.word", word)];
};

window.addEventListener("hashchange", show);
window.addEventListener("theme", () => shell?.showTheme());
window.addEventListener("signed-out", ({ detail }) => {
  names = new Map();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  show();
  if (detail) document.querySelector(".sign-in .said").textContent = detail;
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select, dialog");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  }
});

show();
