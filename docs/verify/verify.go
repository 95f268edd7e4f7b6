// Package hookbox says whether a request was signed by Hookbox. Go 1.18 or later, nothing but the standard library.
package hookbox

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// An older request may be one that somebody has recorded, and sends again.
const tolerance = 5 * time.Minute

// IsSigned takes the hook's secret (whsec_…), or its public key (whpk_…) when it signs with ed25519; three headers; the
// body as it came (of a GET, the query string).
func IsSigned(key, webhookID, timestamp, signature string, body []byte) bool {
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if age := time.Since(time.Unix(at, 0)); err != nil || age > tolerance || age < -tolerance {
		return false
	}
	kind, encoded, _ := strings.Cut(key, "_")
	bytes, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	signed := append([]byte(webhookID+"."+timestamp+"."), body...)
	// After a rotation there are several, with spaces between: one that fits is enough.
	for _, one := range strings.Split(signature, " ") {
		version, text, _ := strings.Cut(one, ",")
		given, err := base64.StdEncoding.DecodeString(text)
		switch {
		case err != nil:
		case kind == "whsec" && version == "v1":
			mac := hmac.New(sha256.New, bytes)
			mac.Write(signed)
			if hmac.Equal(mac.Sum(nil), given) {
				return true
			}
		case kind == "whpk" && version == "v1a" && len(bytes) == ed25519.PublicKeySize:
			if ed25519.Verify(bytes, signed, given) {
				return true
			}
		}
	}
	return false
}
