// A call that nobody answered, told once it is over: for a list of people to call back.
//
// Every call ends with CHANNEL_DESTROY on each of its legs. Missed is an inbound leg that rang and was never answered.
// Who hangs up at once did not want to speak: the setting `min_ringing_s` (3) says how long is long enough.
// @ts-check

import { NotMine, log, module, settings } from "../../../js/index.js";

const MIN_RINGING_S = 3;

export const { metadata, bindings, handleEvent } = module({
  id: "missed_call",
  name: "Missed call",
  description: "A call rang and nobody answered it",
  version: "0.1.0",
  samples: { missed: { call_id: "b1946ac9", from: "+13125550111", to: "4000", rang_s: 21 } },
  bindings: [
    {
      exchange: "callevt",
      routingKeys: ["call.CHANNEL_DESTROY.*"],
      category: "call_event",
      names: ["CHANNEL_DESTROY"],
    },
  ],

  handle({ accountId, body }) {
    const wasAnswered = body["Billing-Seconds"] > 0;
    if (!accountId || body["Call-Direction"] !== "inbound" || wasAnswered) throw new NotMine();
    const rang_s = body["Ringing-Seconds"] ?? 0;
    const enough = Number(settings.get("min_ringing_s") ?? MIN_RINGING_S);
    if (rang_s < enough) {
      log.debug(`rang for ${rang_s} s only`);
      return [];
    }
    return {
      accountId,
      payload: { call_id: body["Call-ID"], from: body["Caller-ID-Number"], to: body["Callee-ID-Number"], rang_s },
    };
  },
});
