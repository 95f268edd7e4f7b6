# Keeps one PostgreSQL as its child, and ends it when told or when the test process is gone. Started by database.rs;
# arguments: the postgres program, the server's folder.
#
# One line on standard input names the signal that ends the server; the folder is left. When standard input ends without
# one, the test process is gone or done: the server is killed and the folder removed. A file in the folder says that
# the server has ended.
server=$1
folder=$2
exec 3<&0

"$server" -D "$folder/data" </dev/null >"$folder/server.log" 2>&1 &
first=$!
(
    if read -r signal <&3; then
        kill -"$signal" $first
        exit 0
    else
        kill -QUIT $first
        exit 1
    fi
) >/dev/null 2>&1 &
listener=$!

wait $first
: >"$folder/ended"
wait $listener || rm -rf "$folder"
