package node

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// capture writes down what a node says and hears, for whoever wants to find out later who has said what. Test networks
// only: it costs a write for each message. A nil capture records nothing.
type capture struct {
	mu   sync.Mutex
	file *os.File
}

// Captured is one line of a capture.
type Captured struct {
	UnixNanos int64           `json:"unix_nanos,string"`
	Direction string          `json:"direction"` // out: signed here, and about to be sent; in: received and found valid
	Member    epoch.ReplicaID `json:"member"`    // whose word it is
	Kind      string          `json:"kind"`
	Epoch     string          `json:"epoch"`
	View      uint64          `json:"view,string"` // 0 for kinds that have none
	Seq       uint64          `json:"seq,string"`  // likewise
	Signed    string          `json:"signed"`      // the exact bytes under the signature
	Signature string          `json:"signature"`
}

func openCapture(path string) (*capture, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return &capture{file: f}, nil
}

// record writes a message's line, and returns when the system has it. One that is missing would make whoever reads the rest
// believe something wrong, so an error is the node's end.
func (c *capture) record(direction string, m *message.Signed) error {
	if c == nil {
		return nil
	}
	view, seq := placeOf(m.Body)
	line, err := json.Marshal(Captured{
		UnixNanos: time.Now().UnixNano(), Direction: direction, Member: m.Author, Kind: m.Body.Kind().String(), Epoch: m.Epoch.String(),
		View: uint64(view), Seq: uint64(seq), Signed: hex.EncodeToString(m.Bytes), Signature: m.Signature.String(),
	})
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

func (c *capture) close() error {
	if c == nil {
		return nil
	}
	return c.file.Close()
}

// placeOf is the view and the slot that a message is about.
func placeOf(b message.Body) (epoch.View, epoch.Seq) {
	if v, ok := message.VoteOf(b); ok {
		return v.View, v.Seq
	}
	switch b := b.(type) {
	case *message.PaxosPrepare:
		return b.View, 0
	case *message.PaxosPromise:
		return b.View, b.Start
	case *message.PaxosLearn:
		return b.View, b.Seq
	case *message.Heartbeat:
		return b.View, 0
	case *message.Attestation:
		return 0, b.Seq
	case *message.Status:
		return b.View, b.Delivered
	case *message.Want:
		return 0, b.From
	case *message.Bundle:
		return 0, b.Head
	case *message.Fetch:
		return 0, b.Seq
	case *message.Bodies:
		return 0, b.Seq
	default:
		return 0, 0
	}
}
