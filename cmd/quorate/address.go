package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

var errAddress = errors.New("want host:port, like 10.0.0.1:27001")

// checkAddress refuses what nobody could reach or listen on. least is 0 for an address to listen on, where 0 is any port
// that is free, and 1 for one that others are told.
func checkAddress(text string, least uint64) error {
	if strings.HasPrefix(text, "/") {
		return nil // libp2p's own notation, which it checks
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || strings.ContainsAny(host, " /@") {
		return fmt.Errorf("%q: %w", text, errAddress)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n < least {
		return fmt.Errorf("%q: port %q: want %d to 65535", text, port, least)
	}
	return nil
}
