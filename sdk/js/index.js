// What a Hookbox module is written with in JavaScript. The types, and what each thing is for, are in index.d.ts.
//
// The contract (wit/v1) hands over JSON as text; here it is read and written, so that a module works with objects.

import { log as write } from "hookbox:webhook/log@1.0.0";
import * as hostSettings from "hookbox:webhook/settings@1.0.0";
import * as hostAccounts from "hookbox:webhook/accounts@1.0.0";

/** The exports of a module: `export const { metadata, bindings, handleEvent } = module({…})`. */
export function module(module) {
  const samples = Object.entries(module.samples ?? {});
  return {
    metadata: () => ({
      id: module.id,
      name: module.name,
      description: module.description ?? "",
      version: module.version,
      modifiers: JSON.stringify(module.modifiers ?? {}),
      selectors: module.selectors ?? [],
      samples: samples.map(([name, payload]) => ({ name, payload: JSON.stringify(payload) })),
      payloadSchema: JSON.stringify(module.payloadSchema ?? { type: "object" }),
    }),
    bindings: () => module.bindings.map(completeBinding),
    handleEvent: (message) =>
      speakingBeforeItDies(moduleError, () => {
        const made = module.handle({ ...message, accountId: message.accountId ?? null, body: JSON.parse(message.body) });
        return [made ?? []].flat().map((event) => completeEvent(event, module.id));
      }),
  };
}

/** The exports of a transform: `export const { transform } = transforming((firing) => …)`. */
export function transforming(change) {
  return {
    transform: (firing) =>
      speakingBeforeItDies(transformError, () => {
        const changed = change({ ...firing, payload: JSON.parse(firing.payload) });
        return changed ? { ...firing, ...changed, payload: JSON.stringify(changed.payload) } : null;
      }),
  };
}

/** Thrown by a module for a message of no interest to it. */
export class NotMine extends Error {}
/** Thrown by a module for a message that can never work. */
export class Malformed extends Error {}
/** Thrown when the message is sound and there still is nothing to give: it is kept, or tried again. */
export class Failed extends Error {}

/** Lines for the module's own log. `console` writes there too. */
export const log = {
  debug: (text) => write("debug", String(text)),
  info: (text) => write("info", String(text)),
  warn: (text) => write("warn", String(text)),
  error: (text) => write("error", String(text)),
};

// QuickJS has no console; what is written to another engine's reaches the log too.
globalThis.console ??= {
  debug: (...things) => log.debug(things.join(" ")),
  log: (...things) => log.info(things.join(" ")),
  info: (...things) => log.info(things.join(" ")),
  warn: (...things) => log.warn(things.join(" ")),
  // As what other engines write to standard error; level error is for the last words before a trap.
  error: (...things) => log.warn(things.join(" ")),
};

/** What the operator or the tenant set for this module. */
export const settings = {
  get: (key) => hostSettings.get(key) ?? null,
  all: () => Object.fromEntries(hostSettings.all()),
};

/** The tree of accounts, as much of it as this module may see. */
export const accounts = {
  reseller: (account) => hostAccounts.reseller(account) ?? null,
  ancestors: (account) => hostAccounts.ancestors(account),
  ofNumber: (number) => hostAccounts.accountOfNumber(number) ?? null,
};

function completeBinding(binding) {
  const { exchange, kind = "topic", durable = false, routingKeys, category, names = ["*"] } = binding;
  return { exchange, kind, durable, routingKeys, category, names };
}

function completeEvent(event, id) {
  return {
    hookEvent: event.hookEvent ?? id,
    accountId: event.accountId,
    payload: JSON.stringify(event.payload),
    facets: Object.entries(event.facets ?? {}),
    internalLeg: event.internalLeg ?? false,
    inlineHook: event.inlineHook ? JSON.stringify(event.inlineHook) : null,
  };
}

/** The contract's errors are thrown as values: a module's are variants, … */
function moduleError(error) {
  if (error instanceof NotMine) return { tag: "not-mine" };
  if (error instanceof Malformed) return { tag: "malformed", val: error.message };
  if (error instanceof Failed) return { tag: "failed", val: error.message };
}

/** … and a transform's only one is a text. */
function transformError(error) {
  if (error instanceof Failed) return error.message;
}

/** An error that nobody meant ends in a trap, and a trap carries no text: so it is written to the log first. */
function speakingBeforeItDies(meant, call) {
  try {
    return call();
  } catch (error) {
    const value = meant(error);
    if (value !== undefined) throw value;
    write("error", error instanceof Error ? `${error.name}: ${error.message} ${where(error)}` : `thrown: ${error}`);
    throw error;
  }
}

/** The line of the module that the error came from. */
function where(error) {
  return (error.stack ?? "").trim().split("\n")[0]?.trim() ?? "";
}
