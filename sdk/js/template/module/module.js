// My event: a call is over. Change it to what you want to tell your receivers.
// @ts-check

import { Malformed, NotMine, module } from "./hookbox/index.js";

export const { metadata, bindings, handleEvent } = module({
  id: "my_event",
  name: "My event",
  description: "A call is over",
  version: "0.1.0",
  samples: { hung_up: { call_id: "b1946ac9", hangup_cause: "NORMAL_CLEARING", duration_s: 61 } },

  // Which messages it wants: an exchange, a routing key (`*` is one word), and what the body says of itself.
  bindings: [
    {
      exchange: "callevt",
      routingKeys: ["call.CHANNEL_DESTROY.*"],
      category: "call_event",
      names: ["CHANNEL_DESTROY"],
    },
  ],

  // The events that a message gives: none, one or several. Nothing is kept from one call to the next.
  handle({ accountId, body }) {
    if (!accountId) throw new NotMine();
    if (!body["Call-ID"]) throw new Malformed("no Call-ID");
    return {
      accountId,
      payload: {
        call_id: body["Call-ID"],
        hangup_cause: body["Hangup-Cause"],
        duration_s: body["Duration-Seconds"],
      },
    };
  },
});
