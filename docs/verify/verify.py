# Whether a request was signed by Hookbox. Python 3.9 or later, nothing but the standard library.
import base64
import hashlib
import hmac
import re
import time

TOLERANCE_S = 5 * 60  # an older request may be one that somebody has recorded, and sends again


def is_signed(secret: str, webhook_id: str, timestamp: str, signature: str, body: bytes) -> bool:
    """The hook's whsec_… secret; three headers, "" when one is missing; the body as it came (of a GET, the query string)."""
    if not re.fullmatch("[0-9]{1,15}", timestamp) or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    # After a rotation there are several, with spaces between: one that fits is enough.
    return any(hmac.compare_digest(expected, given.encode()) for given in signature.split(" "))
