# Keeps one broker and its port mapper (epmd) as children, and ends them when told or when the test process is gone.
# Started by broker.rs; arguments: the rabbitmq-server program, the broker's folder.
#
# One line on standard input names the signal that ends the broker; the folder is left. When standard input ends without
# one, the test process is gone or done: the broker is killed and the folder removed. One line on standard output says
# that the broker has ended.
server=$1
folder=$2
exec 3<&0

epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 </dev/null >"$folder/epmd.log" 2>&1 &
epmd=$!
"$server" </dev/null >"$folder/start.log" 2>&1 &
broker=$!
(
    if read -r signal <&3; then
        kill -"$signal" $broker
    else
        kill -KILL $broker
        exit 1
    fi
) >/dev/null 2>&1 &
listener=$!

wait $broker
kill -KILL $epmd
# The reader of this line may be gone, and the folder must go too.
trap "" PIPE
echo ended
wait $listener || rm -rf "$folder"
