// What a Hookbox module is written with in JavaScript and TypeScript. Units and bounds are in wit/v1.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: any };

/** One thing that the host took in. */
export interface Message {
  /** `amqp` or `http`. */
  source: string;
  exchange: string;
  routingKey: string;
  /** The body's `Event-Category`; empty when it has none. */
  category: string;
  /** The body's `Event-Name`; empty when it has none. */
  name: string;
  /** The account that the host found in the message. */
  accountId: string | null;
  /** Milliseconds since 1970, UTC. `Date.now()` stands still at this time. */
  receivedMs: number;
  body: JsonObject;
}

/** What a module made of a message. */
export interface Event {
  /** Whose event it is. The host refuses an account that the module may not speak for. */
  accountId: string;
  /** What receivers get. */
  payload: JsonObject;
  /** The name that hooks subscribe to; the module's own id when left out. */
  hookEvent?: string;
  /** Compared with a hook's `custom_data` under the module's selectors. */
  facets?: { [selector: string]: string };
  /** True for a leg inside the platform, which hooks with `include_internal_legs: false` do not want. */
  internalLeg?: boolean;
  /** A hook document that travelled in the message: the event fires at it alone. */
  inlineHook?: JsonObject;
}

/** What to bind at the broker, and which messages to be handed. */
export interface Binding {
  exchange: string;
  /** `topic` when left out. */
  kind?: "topic" | "direct" | "fanout" | "headers";
  /** Whether the exchange is declared durable. It must agree with what is there. */
  durable?: boolean;
  /** On a topic exchange `*` is one word, `#` any number of words. */
  routingKeys: string[];
  /** The body's `Event-Category` that is wanted. */
  category: string;
  /** The body's `Event-Name`s that are wanted; all when left out. */
  names?: string[];
}

export interface ModuleDefinition {
  /** The event's name as hooks use it, `[a-z0-9_]{1,64}`. */
  id: string;
  /** For people, 1 to 128 bytes. */
  name: string;
  /** Semantic version of the component, e.g. `1.2.0`. */
  version: string;
  /** When the event happens, for people; at most 1024 bytes. */
  description?: string;
  /** What a hook's `custom_data` must choose from. */
  modifiers?: JsonObject;
  /** The `custom_data` keys that choose among this module's events; compared with an event's facets. */
  selectors?: string[];
  /** Payloads that show what receivers get, by name. */
  samples?: { [name: string]: JsonObject };
  /** JSON Schema of the payload. A `$ref` is never fetched. */
  payloadSchema?: JsonObject;
  bindings: Binding[];
  /** The events that a message gives: none, one or several. Throws NotMine, Malformed or Failed when there are none. */
  handle(message: Message): Event | Event[] | null | undefined | void;
}

/** One event for one hook, as a transform sees it. */
export interface Firing {
  /** The same on every try. */
  webhookId: string;
  accountId: string;
  hookId: string;
  hookEvent: string;
  /** 1 for the first try. */
  attempt: number;
  /** `get`, `post` or `put`. A change is ignored. */
  verb: string;
  /** Path and query may be changed; another scheme, host or port is refused. */
  uri: string;
  payload: JsonObject;
  /** The hook's own headers. Reserved names are refused. */
  headers: [string, string][];
  /** `application/json`, `application/x-www-form-urlencoded`, or another name to send the JSON under. */
  contentType: string;
}

/** The exports of a module: `export const { metadata, bindings, handleEvent } = module({…})`. */
export function module(definition: ModuleDefinition): {
  metadata: () => unknown;
  bindings: () => unknown;
  handleEvent: (message: unknown) => unknown;
};

/** The exports of a transform: `export const { transform } = transforming((firing) => …)`. Null drops the firing. */
export function transforming(change: (firing: Firing) => Partial<Firing> & { payload: JsonObject } | null): {
  transform: (firing: unknown) => unknown;
};

/** Thrown by a module for a message of no interest to it. */
export class NotMine extends Error {}
/** Thrown by a module for a message that can never work; the text says why. */
export class Malformed extends Error {}
/** Thrown when the message is sound and there still is nothing to give: it is kept, or tried again. */
export class Failed extends Error {}

/** Lines for the module's own log. `console` writes there too. */
export const log: { [level in "debug" | "info" | "warn" | "error"]: (text: unknown) => void };

/** What the operator or the tenant set for this module. Lists and objects are JSON text. */
export const settings: {
  /** The value, or null when it is not set. */
  get(key: string): string | null;
  all(): { [key: string]: string };
};

/** The tree of accounts, as much of it as this module may see. */
export const accounts: {
  /** The nearest reseller above the account. */
  reseller(account: string): string | null;
  /** From the root down to the account's parent; empty for a root and for an unknown account. */
  ancestors(account: string): string[];
  /** The account that a phone number (E.164, with `+`) is assigned to. */
  ofNumber(number: string): string | null;
};
