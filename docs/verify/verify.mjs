// Whether a request was signed by Hookbox. Node.js 18 or later, no packages.
import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";

const TOLERANCE_S = 5 * 60; // an older request may be one that somebody has recorded, and sends again

/**
 * The hook's secret (whsec_…), or its public key (whpk_…) when it signs with ed25519; three headers; the body as it came,
 * a Buffer (of a GET, the query string).
 */
export function isSigned(key, webhookId, timestamp, signature, body) {
  if (!/^[0-9]{1,15}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) return false;
  const signed = Buffer.concat([Buffer.from(`${webhookId}.${timestamp}.`), body]);
  const fits = key.startsWith("whpk_") ? ed25519(key, signed) : hmac(key, signed);
  // After a rotation there are several, with spaces between: one that fits is enough.
  return (signature ?? "").split(" ").some(fits);
}

function hmac(secret, signed) {
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const expected = Buffer.from("v1," + createHmac("sha256", key).update(signed).digest("base64"));
  return (given) => given.length === expected.length && timingSafeEqual(Buffer.from(given, "latin1"), expected);
}

function ed25519(publicKey, signed) {
  const x = Buffer.from(publicKey.replace("whpk_", ""), "base64").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  return (given) => given.startsWith("v1a,") && verify(null, signed, key, Buffer.from(given.slice(4), "base64"));
}
