# Whether a request was signed by Hookbox. Ruby 3.1 or later, nothing but the standard library.
require "openssl"

module HookboxSignature
  TOLERANCE_S = 5 * 60 # an older request may be one that somebody has recorded, and sends again
  # What stands before the 32 bytes of an ed25519 key in DER.
  DER_HEAD = ["302a300506032b6570032100"].pack("H*")

  # The hook's secret (whsec_…), or its public key (whpk_…) when it signs with ed25519; three headers, "" when one is
  # missing; the body as it came (of a GET, the query string).
  def self.signed?(key, webhook_id, timestamp, signature, body)
    return false unless timestamp.match?(/\A[0-9]{1,15}\z/) && (Time.now.to_i - timestamp.to_i).abs <= TOLERANCE_S

    signed = "#{webhook_id}.#{timestamp}.".b + body.b
    kind, encoded = key.split("_", 2)
    bytes = encoded.unpack1("m0")
    # After a rotation there are several, with spaces between: one that fits is enough.
    signature.split(" ").any? do |given|
      if kind == "whsec"
        OpenSSL.secure_compare("v1," + [OpenSSL::HMAC.digest("SHA256", bytes, signed)].pack("m0"), given)
      else
        public_key = OpenSSL::PKey.read(DER_HEAD + bytes)
        given.start_with?("v1a,") && public_key.verify(nil, given.delete_prefix("v1a,").unpack1("m"), signed)
      end
    end
  end
end
