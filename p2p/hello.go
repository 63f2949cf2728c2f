package p2p

import (
	"bytes"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/protocol"
)

// Every stream begins with a greeting from whoever opened it, and the same in return. So both sides
// learn, and can say, why they do not get along: a refusal by protocol id would only be "not supported".
//
//	"quorate" version(1) class(1) chain(32)
const (
	helloMagic   = "quorate"
	helloVersion = 1
	helloSize    = len(helloMagic) + 2 + 32
)

func (c Class) protocol() protocol.ID { return protocol.ID("/quorate/" + c.String() + "/1") }

func hello(class Class, chain [32]byte) []byte {
	return append(append([]byte(helloMagic), helloVersion, byte(class)), chain[:]...)
}

// foreign is a member that cannot be talked to: a mistake of whoever set up one of the two nodes.
type foreign struct{ why string }

func (f foreign) Error() string { return f.why }

// readHello reads a greeting; its error is foreign if it is well-formed but not ours.
func readHello(r io.Reader, class Class, chain [32]byte) error {
	var got [helloSize]byte
	if _, err := io.ReadFull(r, got[:]); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	rest, ok := bytes.CutPrefix(got[:], []byte(helloMagic))
	switch {
	case !ok:
		return fmt.Errorf("greeting: not of this protocol")
	case rest[0] != helloVersion:
		return foreign{fmt.Sprintf("speaks version %d, this node version %d: run the same release on both", rest[0], helloVersion)}
	case rest[1] != byte(class):
		return fmt.Errorf("greeting for %s on a stream for %s", Class(rest[1]), class)
	case !bytes.Equal(rest[2:], chain[:]):
		return foreign{fmt.Sprintf("is of another chain: its genesis is %x, this node's %x: give both the same genesis file", rest[2:], chain)}
	}
	return nil
}
