// The toy's quorate explores nothing; it has one checker, agreement.
package main

import (
	"fmt"
	"os"

	"toy/count"
)

func main() {
	if len(os.Args) != 2 || os.Args[1] != "sim" {
		fmt.Println("usage: quorate sim")
		os.Exit(2)
	}
	if 2*count.Quorum(4) <= 4 {
		fmt.Println("seed 1: agreement: two quorums share nobody")
		os.Exit(6)
	}
}
