import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.SignatureException;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Whether a request was signed by Hookbox. Java 17 or later, nothing but the standard library. */
public final class HookboxSignature {
    /** Seconds. An older request may be one that somebody has recorded, and sends again. */
    private static final long TOLERANCE_S = 5 * 60;
    /** What stands before the 32 bytes of an ed25519 key in DER. */
    private static final byte[] DER_HEAD = HexFormat.of().parseHex("302a300506032b6570032100");

    /**
     * The hook's secret (whsec_…), or its public key (whpk_…) when it signs with ed25519; three headers, "" when one is
     * missing; the body as it came (of a GET, the query string).
     */
    public static boolean isSigned(String key, String webhookId, String timestamp, String signature, byte[] body)
            throws GeneralSecurityException {
        if (!timestamp.matches("[0-9]{1,15}")
                || Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(timestamp)) > TOLERANCE_S) {
            return false;
        }
        byte[] head = (webhookId + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8);
        byte[] bytes = Base64.getDecoder().decode(key.substring(key.indexOf('_') + 1));
        byte[] signed = joined(head, body);
        // After a rotation there are several, with spaces between: one that fits is enough.
        for (String given : signature.split(" ")) {
            if (key.startsWith("whpk_") ? ed25519(bytes, signed, given) : hmac(bytes, signed, given)) {
                return true;
            }
        }
        return false;
    }

    private static boolean hmac(byte[] secret, byte[] signed, String given) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret, "HmacSHA256"));
        String expected = "v1," + Base64.getEncoder().encodeToString(mac.doFinal(signed));
        // Takes as long for a wrong signature as for a right one.
        return MessageDigest.isEqual(
                expected.getBytes(StandardCharsets.UTF_8), given.getBytes(StandardCharsets.UTF_8));
    }

    private static boolean ed25519(byte[] publicKey, byte[] signed, String given) throws GeneralSecurityException {
        if (!given.matches("v1a,[A-Za-z0-9+/]{86}==")) {
            return false;
        }
        Signature verifier = Signature.getInstance("Ed25519");
        verifier.initVerify(
                KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(joined(DER_HEAD, publicKey))));
        verifier.update(signed);
        try {
            return verifier.verify(Base64.getDecoder().decode(given.substring("v1a,".length())));
        } catch (SignatureException noSignature) {
            return false;
        }
    }

    private static byte[] joined(byte[] head, byte[] rest) {
        ByteArrayOutputStream both = new ByteArrayOutputStream();
        both.writeBytes(head);
        both.writeBytes(rest);
        return both.toByteArray();
    }
}
