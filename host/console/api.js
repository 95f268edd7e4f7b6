// The calls of REST, with the key in a header. The key is kept in this tab (sessionStorage, this origin only), never in an
// address.

const STORED = "hookbox.session";

/** Who is signed in: `{key, account, name, isOperator}`, or null. */
export let session = read();

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED));
  } catch {
    return null;
  }
}

/** What could not be done, in words, with what to do. */
export class Problem extends Error {
  constructor(status, envelope) {
    super(envelope?.message ?? "the host does not answer");
    this.status = status;
    this.data = envelope?.data ?? null;
    this.requestId = envelope?.request_id;
  }

  /** What is wrong by field: names and sentences. */
  get fields() {
    const found = new Map();
    if (!this.data || typeof this.data !== "object" || Array.isArray(this.data)) return found;
    for (const [field, codes] of Object.entries(this.data)) {
      if (!codes || typeof codes !== "object") continue;
      const sentences = Object.values(codes).map((about) => sentence(about)).filter(Boolean);
      if (sentences.length) found.set(field, sentences.join("; "));
    }
    return found;
  }

  /** Sentences for people: what is wrong, what to do. */
  get words() {
    const advice = ADVICE[this.status];
    if (this.status === 0) return [advice];
    const step = this.data?.step ? `Refused at the step “${this.data.step}”: ` : "";
    if (typeof this.data?.message === "string" && this.data.message !== this.message) {
      return [step + this.data.message, advice].filter(Boolean);
    }
    const fields = [...this.fields].map(([field, words]) => `${field}: ${words}`);
    return [...(fields.length ? fields : [this.message]), advice].filter(Boolean);
  }
}

const ADVICE = {
  0: "The host does not answer. See that it runs and that this machine reaches it; then try again.",
  401: "Sign in again: the key is wrong, or was revoked.",
  403: "Your key does not open this. Sign in with a key of the account, or of one above it.",
  404: "It may have been deleted meanwhile. Go back to the list.",
  408: "Try again; if it keeps taking too long, ask the operator.",
  412: "Somebody else saved it meanwhile. Load it again, then make your change once more.",
  429: "Wait a minute, then try again.",
  500: "This is a fault of Hookbox. The operator finds the reason in its log.",
  503: "This passes: try again in a few seconds.",
};

function sentence(about) {
  if (!about || typeof about !== "object" || !about.message) return null;
  const target = Array.isArray(about.target) && about.target.length <= 12 ? ` (${about.target.join(", ")})` : "";
  return about.message + target;
}

/** One call; gives the envelope. `path` follows `/v2/`; `data` goes into an envelope. */
export async function call(method, path, { data, signal, ifMatch, key = session?.key } = {}) {
  const headers = { accept: "application/json" };
  if (key) headers["x-auth-token"] = key;
  if (data !== undefined) headers["content-type"] = "application/json";
  if (ifMatch) headers["if-match"] = ifMatch;
  const body = data === undefined ? undefined : JSON.stringify({ data });
  const answer = await fetch(`/v2/${path}`, { method, headers, body, signal, cache: "no-store", credentials: "omit" }).catch(unanswered);
  const envelope = await answer.json().catch(() => null);
  if (!answer.ok) throw failed(answer.status, envelope);
  return envelope;
}

/** No answer, or one that broke off. */
function unanswered(error) {
  throw error.name === "AbortError" ? error : new Problem(0);
}

function failed(status, envelope) {
  if (status === 401 && session) signOut("The key does not open anything any more. Sign in again.");
  return new Problem(status, envelope);
}

export const get = async (path, signal) => (await call("GET", path, { signal })).data;

/** A query string of what has a value. */
export function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

/** Something as a part of a path. */
export const part = encodeURIComponent;

/** Uploads a component, telling how far it is (0 to 1). `fetch` does not tell, so this is the older call. */
export function upload(path, file, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `/v2/${path}`);
    request.setRequestHeader("x-auth-token", session.key);
    request.setRequestHeader("content-type", "application/wasm");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => event.lengthComputable && progress(event.loaded / event.total));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response.data);
      else reject(failed(request.status, request.response));
    });
    request.addEventListener("error", () => reject(new Problem(0)));
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Reads server-sent events until it ends or is aborted; `hear(name, data)` is called for each. */
export async function listen(path, hear, signal) {
  const answer = await fetch(`/v2/${path}`, { headers: { "x-auth-token": session.key }, signal, cache: "no-store", credentials: "omit" }).catch(unanswered);
  if (!answer.ok) throw failed(answer.status, await answer.json().catch(() => null));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch(unanswered);
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const field = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart()).join("\n");
      if (field("event")) hear(field("event"), JSON.parse(field("data") || "null"));
    }
  }
}

/** Signs in with a key; fails with a problem when it opens nothing. */
export async function signIn(key) {
  const { data } = await call("PUT", "api_auth", { data: { api_key: key }, key: null });
  const account = (await call("GET", `accounts/${part(data.account_id)}`, { key })).data;
  // Only the master account has no reseller above it.
  session = { key, account: data.account_id, name: account.name, isOperator: !data.reseller_id };
  sessionStorage.setItem(STORED, JSON.stringify(session));
}

/** Forgets the key. */
export function signOut(reason) {
  session = null;
  sessionStorage.removeItem(STORED);
  window.dispatchEvent(new CustomEvent("signed-out", { detail: reason }));
}
