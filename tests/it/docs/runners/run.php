<?php
// Says whether docs/verify/verify.php accepts the request of its arguments and its standard input.
require __DIR__ . '/verify.php';

echo is_signed(...array_slice($argv, 1, 4), body: file_get_contents('php://stdin')) ? 'accepted' : 'refused', "\n";
