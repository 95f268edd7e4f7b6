// My event: a transform, which sees each firing of a hook before the request is made. This one says how often it was
// tried; change it to what your receiver wants.
// @ts-check

import { transforming } from "./hookbox/index.js";

// The firing to send, perhaps changed; null drops it. A thrown Failed is an attempt that failed, and is tried again.
export const { transform } = transforming((firing) => ({
  ...firing,
  headers: [...firing.headers, ["X-Attempt", String(firing.attempt)]],
}));
