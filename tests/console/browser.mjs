// A browser that notes everything that goes wrong in it: what pages log, what they throw, what they ask for in vain.

import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--force-color-profile=srgb",
];

/** Starts Chromium; gives a page, its faults, and what closes it. `tools` is where playwright-core and axe-core are. */
export async function browser({ tools, chromium }) {
  const require = createRequire(join(tools, "package.json"));
  const playwright = require("playwright-core");
  const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
  const profile = mkdtempSync(join(tmpdir(), "hookbox-console-"));
  const context = await playwright.chromium.launchPersistentContext(profile, {
    executablePath: chromium, headless: true, args: ARGS, viewport: { width: 1280, height: 860 }, colorScheme: "light",
    reducedMotion: "reduce",
    // What the test adds to a page (axe) is not the page's; the policy itself is asked for by the test.
    bypassCSP: false,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(10_000);
  const faults = [];
  let expected = [];
  const note = (words) => { if (!expected.some((pattern) => pattern.test(words))) faults.push(words); };
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && note(`log: ${message.text()} (${message.location().url})`));
  page.on("pageerror", (error) => note(`thrown: ${error.stack ?? error}`));
  page.on("requestfailed", (request) => request.failure()?.errorText !== "net::ERR_ABORTED" && note(`not loaded: ${request.url()} ${request.failure()?.errorText}`));
  page.on("response", (response) => response.status() >= 400 && note(`answered ${response.status()}: ${response.url()}`));

  return {
    page,
    faults,
    /** While `act` runs, faults like these are no faults. */
    async expecting(patterns, act) {
      expected = patterns;
      try {
        return await act();
      } finally {
        expected = [];
      }
    },
    /** What axe finds on the page that is serious or critical, in words. */
    async barriers() {
      // Over the debugger, which no policy of a page stands in the way of.
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
      return violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, help, nodes }) => `${id}: ${help} – ${nodes.slice(0, 4).map(({ target, failureSummary }) => `${target} ${failureSummary.replaceAll("\n", " ")}`).join(" | ")}`);
    },
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
