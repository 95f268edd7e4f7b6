<?php
// Whether a request was signed by Hookbox. PHP 8.0 or later, with the extension sodium that comes with it.

const TOLERANCE_S = 5 * 60; // an older request may be one that somebody has recorded, and sends again

/**
 * The hook's secret (whsec_…), or its public key (whpk_…) when it signs with ed25519; three headers, '' when one is
 * missing; the body as it came (of a GET, the query string).
 */
function is_signed(string $key, string $webhook_id, string $timestamp, string $signature, string $body): bool
{
    if (!preg_match('/\A[0-9]{1,15}\z/', $timestamp) || abs(time() - (int) $timestamp) > TOLERANCE_S) {
        return false;
    }
    $signed = "$webhook_id.$timestamp.$body";
    [$kind, $encoded] = explode('_', $key, 2);
    $bytes = base64_decode($encoded);
    // After a rotation there are several, with spaces between: one that fits is enough.
    foreach (explode(' ', $signature) as $given) {
        if ($kind === 'whsec' && hash_equals('v1,' . base64_encode(hash_hmac('sha256', $signed, $bytes, true)), $given)) {
            return true;
        }
        if ($kind === 'whpk' && str_starts_with($given, 'v1a,')) {
            $given = (string) base64_decode(substr($given, 4), true);
            if (strlen($given) === 64 && sodium_crypto_sign_verify_detached($given, $signed, $bytes)) {
                return true;
            }
        }
    }
    return false;
}
