// Says whether docs/verify/verify.mjs accepts the request of its arguments and its standard input.
import { readFileSync } from "node:fs";
import { isSigned } from "./verify.mjs";

console.log(isSigned(...process.argv.slice(2, 6), readFileSync(0)) ? "accepted" : "refused");
