# Says whether docs/verify/verify.py accepts the request of its arguments and its standard input.
import sys

from verify import is_signed

print("accepted" if is_signed(*sys.argv[1:5], sys.stdin.buffer.read()) else "refused")
