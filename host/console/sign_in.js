// Signing in with a key.

import { h, fill } from "./dom.js";
import { signIn, Problem } from "./api.js";
import { field, text } from "./parts.js";

export function signInPage(done) {
  const key = text({ type: "password", name: "key", autocomplete: "off", required: true });
  const keyField = field("API key", key, { help: "A key of your account. It stays in this tab and goes away with it." });
  const said = h("p.said", { role: "status" });
  const go = h("button.main", { type: "submit" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    keyField.complain(null);
    fill(said);
    if (!key.value.trim()) return keyField.complain("Enter a key.");
    go.disabled = true;
    try {
      await signIn(key.value.trim());
      done();
    } catch (error) {
      keyField.complain(error instanceof Problem && error.status === 401 ? "This key opens nothing. See that it is whole, or ask for a new one." : error instanceof Problem ? error.words.join(" ") : error.message);
      key.focus();
    } finally {
      go.disabled = false;
    }
  };
  queueMicrotask(() => key.focus());
  return h("main.sign-in", { id: "main" },
    h("form.card", { on: { submit }, novalidate: true },
      h("div.brand", h("span.mark", { "aria-hidden": "true" }), "Hookbox"),
      h("h1", "Sign in"),
      said, keyField, go,
      h("details", h("summary", "Where is my key?"),
        h("p", "Whoever made your account was shown one; the operator's was printed when the host first started."),
        h("p", "Whoever has a key makes more under Accounts."))));
}
