// Drives the console as a tenant and an operator would, in a real browser, and looks at every page, light and dark. Started
// by tests/it/console.rs with a file that says where the host is; ends with 0 when all was as it should be.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { browser } from "./browser.mjs";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { url, account, tenantKey, masterKey, master, component, transform, pictures, receiver, markup } = config;
mkdirSync(pictures, { recursive: true });

const { page, faults, expecting, barriers, close } = await browser(config);
const begun = Date.now();
let step = "begin";

/** A part of the story; what fails is said with its name. */
async function part(name, act) {
  step = name;
  const from = Date.now();
  await act();
  assert.deepEqual(faults, [], `${name}: the browser noted faults`);
  console.log(`  ${name}: ${Date.now() - from} ms`);
}

const at = (path, of = account) => `${url}/#/${of}/${path}`;
const main = page.locator("main");
const heading = (name) => main.getByRole("heading", { level: 1, name });
const press = (name, within = main) => within.getByRole("button", { name, exact: true }).click();

async function open(path, title, of) {
  await page.goto(at(path, of));
  await heading(title).waitFor();
}

async function signIn(key) {
  await page.goto(`${url}/`);
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await heading("Overview").waitFor();
}

/** Kept secrets are shown once, in a dialog. */
async function keepSecret() {
  const dialog = page.getByRole("dialog");
  const secret = await dialog.locator("code").textContent();
  await press("I have kept it", dialog);
  return secret;
}

async function story() {
  let hook;
  await part("the page is small, quick, and lets nothing in", async () => {
    const bodies = [];
    const count = (response) => bodies.push(response.body().then(({ length }) => length));
    page.on("response", count);
    const first = await page.goto(`${url}/`, { waitUntil: "networkidle" });
    page.off("response", count);
    const bytes = (await Promise.all(bodies)).reduce((sum, length) => sum + length, 0);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    const paint = () => page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
    let painted = await paint();
    // Others may be at work on this machine: what counts is what the page takes, not what they do.
    for (let again = 0; painted > 1000 && again < 3; again += 1) {
      await page.reload({ waitUntil: "networkidle" });
      painted = Math.min(painted, await paint());
    }
    console.log(`  page weight ${Math.round(bytes / 1024)} KiB, first view ${Math.round(painted)} ms`);
    assert.ok(bytes > 50_000 && bytes <= 300 * 1024, `the page weighs ${bytes} bytes`);
    assert.ok(painted <= 1000, `the first view came after ${painted} ms`);
    const headers = first.headers();
    assert.match(headers["content-security-policy"], /^default-src 'none'; script-src 'self';.*frame-ancestors 'none'$/);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["referrer-policy"], "no-referrer");
    // What is written into a page is not run.
    const ran = await expecting([/Content Security Policy/], () => page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      script.remove();
      return window.ran;
    }));
    assert.equal(ran, undefined, "a script in the page was run");
  });

  await part("a wrong key is told so", async () => {
    await expecting([/401/], async () => {
      await page.getByLabel("API key").fill("no such key");
      await page.keyboard.press("Enter");
      await page.getByText("This key opens nothing").waitFor();
    });
  });

  await part("a tenant signs in, and the key is in no address", async () => {
    await signIn(tenantKey);
    const kept = await page.evaluate(() => ({ local: { ...localStorage }, address: location.href, cookies: document.cookie }));
    assert.ok(!JSON.stringify(kept).includes(tenantKey), `the key is where it should not be: ${JSON.stringify(kept)}`);
    await main.getByText("Attempts by minute").waitFor();
  });

  await part("a hook is made from what a module says about itself", async () => {
    await open("hooks/new", "New hook");
    await page.getByLabel("Name", { exact: true }).fill("Changed users");
    // What is missing is said at its field, in the host's words.
    await expecting([/400/], async () => {
      await press("Make the hook");
      await main.locator(".wrong:visible").first().waitFor();
    });
    await page.getByLabel("Event", { exact: true }).selectOption("object");
    await page.getByLabel("Which type").selectOption("user");
    await page.getByLabel("Which action").selectOption("doc_edited");
    await page.getByLabel("Address").fill(`${receiver}/changed`);
    await main.getByText("More: conditions, headers, tries, limits").click();
    await press("Add to Request headers");
    await page.getByLabel("Request headers: name").fill("X-Api-Key");
    await page.getByLabel("Request headers: value").fill("only-for-the-receiver");
    await press("Make the hook");
    assert.match(await keepSecret(), /^whsec_/);
    await heading("Changed users").waitFor();
    hook = page.url().split("/").pop();
    await main.getByText("type = user").waitFor();
    assert.ok(!(await main.textContent()).includes("only-for-the-receiver"), "a header's value is shown");
  });

  await part("a test is fired, and its attempt shows what was sent and answered", async () => {
    await press("Test");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Payload").fill(JSON.stringify({ id: "u1", note: markup }));
    await press("Send it", dialog);
    await dialog.getByRole("link", { name: "See the attempt" }).waitFor();
    await look("dialog");
    await dialog.getByRole("link", { name: "See the attempt" }).click();
    await heading("object 200").waitFor();
    const text = await main.textContent();
    for (const shown of ["POST", "/changed", "webhook-signature", "X-Api-Key", "(hidden)", "first byte", markup]) {
      assert.ok(text.includes(shown), `the attempt does not show ${shown}`);
    }
    assert.ok(!text.includes("only-for-the-receiver"));
    // The payload and the answer have markup in them. It is text.
    assert.equal(await page.evaluate(() => window.stolen), undefined, "markup of a payload was run");
    assert.equal(await main.locator("script, img, iframe, b").count(), 0, "a payload became markup");
    assert.ok((await page.getByRole("region", { name: "Response body" }).textContent()).includes(markup));
  });

  await part("escape closes dialogs, / goes to the search, a link skips to the page", async () => {
    await open(`hooks/${hook}`, "Changed users");
    await press("Test");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await open("hooks", "Hooks");
    await page.keyboard.press("/");
    await page.keyboard.type("changed");
    await main.getByRole("link", { name: "Changed users" }).waitFor();
    await main.getByRole("link", { name: "A failing hook" }).waitFor({ state: "detached" });
    await page.evaluate(() => document.activeElement.blur());
    await page.locator(".skip").focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  });

  await part("a hook that was switched off is seen and enabled", async () => {
    await open("overview", "Overview");
    await main.getByRole("link", { name: "A failing hook" }).first().click();
    await heading("A failing hook").waitFor();
    await main.getByText("Switched off: too many failed attempts").waitFor();
    await press("Enable");
    await page.getByText("The hook is enabled").waitFor();
    await main.getByRole("button", { name: "Disable", exact: true }).waitFor();
    await main.getByRole("button", { name: "Send all again" }).waitFor();
  });

  await part("attempts are found by what came of them", async () => {
    await open("attempts", "Attempts");
    await page.getByLabel("Outcome").selectOption("failure");
    await main.locator("table .badge.bad").first().waitFor();
    await main.locator("table .badge.good").first().waitFor({ state: "detached" });
    await main.locator("tbody th a").first().click();
    await main.getByText("The receiver answered 500.").waitFor();
  });

  await part("a component is uploaded, its report read, and it is activated", async () => {
    await open("modules", "Modules");
    await page.getByLabel("Component").setInputFiles({ name: "crm.wasm", mimeType: "application/wasm", buffer: Buffer.from("no component") });
    await expecting([/422/], async () => {
      await press("Upload");
      await main.getByText(/Refused at the step/).waitFor();
    });
    await page.getByLabel("Component").setInputFiles(component);
    await page.getByLabel("Name", { exact: true }).fill("crm");
    await press("Upload");
    await main.getByText("crm 1.0.0 passed the check.").waitFor({ timeout: 30_000 });
    const report = await main.locator(".report").textContent();
    for (const shown of ["compile", "instantiate", "SHA-256", "imports"]) assert.ok(report.includes(shown), `the report does not say ${shown}`);
    await look("report");
    await main.getByRole("link", { name: "Activate it on its page" }).click();
    await heading(/crm/).waitFor();
    await press("Activate 1.0.0");
    await page.getByText("crm 1.0.0 is active").waitFor();
    await main.getByText("active 1.0.0").waitFor();
  });

  await part("limits are checked by the host, and said at their field", async () => {
    await page.getByLabel("Time for a call, ms").fill("1000000");
    await expecting([/400/], async () => {
      await press("Save");
      await main.locator(".wrong:visible").waitFor();
    });
    await page.getByLabel("Time for a call, ms").fill("20");
    await press("Save");
    await page.getByText("Saved").first().waitFor();
  });

  await part("a transform has two versions, is rolled back, and is tried out", async () => {
    const first = readFileSync(transform);
    // The same program with another digest: a custom section more.
    const second = Buffer.concat([first, Buffer.from([0, 2, 1, 0x32])]);
    await open("modules", "Modules");
    for (const [version, buffer] of [["1.0.0", first], ["1.1.0", second]]) {
      await page.getByLabel("Component").setInputFiles({ name: "as-told.wasm", mimeType: "application/wasm", buffer });
      await page.getByLabel("Version").fill(version);
      await page.getByLabel("Activate it when the check passes").check();
      await press("Upload");
      await main.getByText(`as_told ${version} passed the check.`).waitFor({ timeout: 30_000 });
    }
    await open("modules/as_told", "as_told");
    await main.getByText("active 1.1.0").waitFor();
    await press("Roll back to the version before");
    await main.getByText("active 1.0.0").waitFor();
    await main.getByRole("link", { name: "Try it" }).click();
    await heading("Playground").waitFor();
    await press("Run");
    await main.getByText("to be sent").waitFor();
    assert.ok((await page.getByRole("region", { name: "Firing" }).textContent()).includes("receiver.example.com"));
  });

  await part("the playground shows events, cost, and the request that a hook would be sent", async () => {
    await open("playground?module=object", "Playground");
    await page.getByLabel("Module").selectOption("object");
    await page.getByLabel("Sample").selectOption({ label: await page.getByLabel("Sample").locator("option", { hasText: "edited" }).first().textContent() });
    await press("Run");
    await main.getByText("1 event").waitFor();
    for (const shown of ["Fuel", "Time", "Memory"]) await main.getByText(shown, { exact: true }).waitFor();
    await page.getByLabel("Hook", { exact: true }).selectOption({ label: "Changed users" });
    await main.getByText("webhook-signature").waitFor();
    assert.ok((await page.getByRole("region", { name: "Body of the request" }).textContent()).includes("doc_edited"));
    await page.getByLabel("Message").fill("{");
    await press("Run");
    await main.getByText("This is no JSON").waitFor();
  });

  await part("what happens is seen as it happens", async () => {
    await open("live", "Live");
    await main.getByText("live", { exact: true }).waitFor();
    const fired = await fetch(`${url}/v2/accounts/${account}/webhooks/${hook}/test`, { method: "POST", headers: { "x-auth-token": tenantKey } });
    assert.equal(fired.status, 200);
    await main.getByRole("link", { name: "200" }).waitFor();
    await press("Pause");
    await fetch(`${url}/v2/accounts/${account}/webhooks/${hook}/test`, { method: "POST", headers: { "x-auth-token": tenantKey } });
    await main.getByText("1 while paused").waitFor();
    assert.equal(await main.locator("tbody tr").count(), 1);
    await press("Go on");
    await main.locator("tbody tr").nth(1).waitFor();
  });

  await part("accounts and keys", async () => {
    await open("accounts", "Accounts");
    await press("New key");
    await page.getByRole("dialog").getByLabel("What it is for").fill("the CRM");
    await press("Make the key", page.getByRole("dialog"));
    assert.ok((await keepSecret()).length >= 32);
    await main.getByText("the CRM").waitFor();
  });

  const attempt = await page.evaluate(async ([path, key]) => (await (await fetch(path, { headers: { "x-auth-token": key } })).json()).data[0].id,
    [`/v2/accounts/${account}/webhooks/${hook}/attempts`, tenantKey]);
  const pages = [
    ["overview", "overview", "Overview"], ["hooks", "hooks", "Hooks"], ["hook", `hooks/${config.failing}`, "A failing hook"], ["hook-form", `hooks/${hook}/edit`, "Edit the hook"],
    ["attempts", "attempts", "Attempts"], ["attempt", `attempts/${attempt}`, /object/], ["live", "live", "Live"], ["modules", "modules", "Modules"],
    ["module", "modules/crm", /crm/], ["dead-letters", "modules/dead-letters", "Dead letters"], ["playground", "playground?module=sms", "Playground"],
    ["accounts", "accounts", "Accounts"], ["settings", "settings", "Settings"],
  ];
  await part("every page: light, dark, a phone's width, and no barrier", async () => {
    for (const [name, path, title] of pages) await look(name, path, title, account);
  });

  await part("signed out, the page forgets the key", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    assert.equal(await page.evaluate(() => JSON.stringify({ ...sessionStorage })), "{}");
    await look("sign-in");
  });

  await part("the operator sees all accounts, and looks at one of them", async () => {
    await signIn(masterKey);
    await main.getByText("All accounts, the last hour.").waitFor();
    await look("operator", "overview", "Overview", master);
    await main.getByRole("link", { name: "trap", exact: true }).click();
    await main.getByText("In quarantine: it is not called any more.").waitFor();
    await look("quarantine", "modules/trap", /trap/, master);
    await press("Lift the quarantine");
    await page.getByText("trap is called again").waitFor();
    await main.getByText("In quarantine: it is not called any more.").waitFor({ state: "detached" });
    await open("accounts", "Accounts", master);
    await page.getByLabel("Search accounts").fill(account);
    await main.getByRole("link", { name: `Look at ${account}` }).click();
    await main.getByText("This account, the last hour.").waitFor();
    await page.getByRole("link", { name: "back to yours" }).waitFor();
    await open("settings", "Settings", master);
    await main.getByText("The system's").waitFor();
  });

  await part("an account above sets what an account's modules may use", async () => {
    await open("settings", "Settings", account);
    await page.getByLabel("Memory of a call, bytes").fill("1");
    await expecting([/400/], async () => {
      await press("Save the limits");
      await main.locator(".wrong:visible").waitFor();
    });
    await page.getByLabel("Memory of a call, bytes").fill("");
    await page.getByLabel("Fuel for a call").fill("5000000");
    await press("Save the limits");
    await main.getByText("Now: 5,000,000, set for this account").waitFor();
    await look("limits", "settings", "Settings", account);
  });

  await part("an address with dots in it leads to no other call", async () => {
    await expecting([/404/], async () => {
      await page.goto(at(`hooks/..%2F..%2F${account}`));
      await main.getByRole("alert").waitFor();
    });
    assert.equal(await main.getByRole("button", { name: "Delete" }).count(), 0, "an account is shown as if it were a hook");
    await open("hooks/..", "Hooks");
  });
}

/**
 * Pictures of a page in light, dark and on a phone, where nothing may stick out; and what axe says of both colours. Without a
 * path, of what is there.
 */
async function look(name, path, title, of) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    if (path) await open(path, title, of);
    await page.locator(".skeleton").first().waitFor({ state: "detached" });
    if (name === "live") {
      await main.getByText("live", { exact: true }).waitFor();
      await fetch(`${url}/v2/accounts/${account}/webhooks/${config.failing}/test`, { method: "POST", headers: { "x-auth-token": tenantKey } });
      await main.getByRole("link", { name: "500" }).waitFor();
    }
    if (name === "playground") {
      await press("Run");
      await main.getByText(/\d+ events?|not its message|malformed/).first().waitFor();
    }
    const found = await barriers();
    assert.deepEqual(found, [], `${name}, ${scheme}: barriers`);
    await page.evaluate(() => window.scrollTo(0, 0));
    await page.screenshot({ path: join(pictures, `${name}-${scheme}.png`), fullPage: true });
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await page.setViewportSize({ width: 360, height: 740 });
  await page.evaluate(() => window.scrollTo(0, 0));
  const sticksOut = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await page.screenshot({ path: join(pictures, `${name}-phone.png`), fullPage: true });
  await page.setViewportSize({ width: 1280, height: 860 });
  assert.ok(sticksOut <= 0, `${name} is ${sticksOut} px too wide for a phone`);
}

try {
  await story();
  console.log(`the console was driven in ${Date.now() - begun} ms`);
} catch (error) {
  await page.screenshot({ path: join(pictures, "failed.png"), fullPage: true }).catch(() => {});
  console.error(`at “${step}” (${page.url()}): ${error.stack ?? error}\nfaults: ${faults.join("\n")}`);
  process.exitCode = 1;
} finally {
  await close();
}
