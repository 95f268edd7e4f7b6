# Says whether docs/verify/verify.rb accepts the request of its arguments and its standard input.
require_relative "verify"

puts HookboxSignature.signed?(*ARGV.first(4), $stdin.binmode.read) ? "accepted" : "refused"
