// Any event as a line in a chat, for receivers that want `{"text": …}` as Slack's incoming webhooks do.
//
// `channel_destroy` with `{"call_id": "b1", "duration_seconds": 61}` becomes
// `{"text": "*channel destroy*\ncall_id: b1\nduration_seconds: 61"}`. What is an object or a list itself is left out.
// @ts-check

import { transforming } from "../../../js/index.js";

export const { transform } = transforming((firing) => {
  const title = firing.hookEvent.replaceAll("_", " ");
  const plain = Object.entries(firing.payload).filter(([, value]) => value !== null && typeof value !== "object");
  const lines = plain.map(([key, value]) => `\n${key}: ${value}`);
  return { ...firing, payload: { text: `*${title}*${lines.join("")}` }, contentType: "application/json" };
});
