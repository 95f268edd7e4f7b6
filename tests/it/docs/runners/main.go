// Says whether docs/verify/verify.go accepts the request of its arguments and its standard input.
package main

import (
	"fmt"
	"io"
	"os"

	"example.org/run/hookbox"
)

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	if hookbox.IsSigned(os.Args[1], os.Args[2], os.Args[3], os.Args[4], body) {
		fmt.Println("accepted")
	} else {
		fmt.Println("refused")
	}
}
