package bft

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// extremes are the numbers at which arithmetic breaks.
var extremes = []uint64{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 256, 1<<64 - 64, 1<<64 - 4, 1<<64 - 2, 1<<64 - 1}

// saidAt is every message with every one of its numbers at n, the others as they might be.
func saidAt(n uint64, c *cluster) map[string]message.Body {
	batch := func(time int64, last uint64) *message.Batch {
		return message.NewBatch(time, []*message.Request{message.NewRequest(scheme, keys[0], c.epoch.Chain, max(n, 1), last, nil)})
	}
	seq, view := epoch.Seq(n), epoch.View(n)
	next := c.node(2).replica.Head().Seq + 1
	b, at := batch(c.now, n), crypto.Hash("test/batch")
	timed := batch(int64(n), 1000)
	return map[string]message.Body{
		"slot of a pre-prepare":      &message.PrePrepare{Vote: message.Vote{Seq: seq, Digest: b.Digest()}, Batch: b},
		"view of a pre-prepare":      &message.PrePrepare{Vote: message.Vote{View: view, Seq: next + 5, Digest: b.Digest()}, Batch: b},
		"slot of an outline":         &message.PrePrepare{Vote: message.Vote{Seq: seq, Digest: b.Digest()}, Outline: b.Outline()},
		"time of a batch":            &message.PrePrepare{Vote: message.Vote{View: 1, Seq: next + 5, Digest: timed.Digest()}, Batch: timed},
		"slot of a prepare":          &message.Prepare{Vote: message.Vote{Seq: seq, Digest: at}},
		"view of a prepare":          &message.Prepare{Vote: message.Vote{View: view, Seq: next, Digest: at}},
		"slot of a commit":           &message.Commit{Vote: message.Vote{Seq: seq, Digest: at}},
		"view of a commit":           &message.Commit{Vote: message.Vote{View: view, Seq: next, Digest: at}},
		"slot of an attestation":     &message.Attestation{Seq: seq, Header: at},
		"view of a status":           &message.Status{View: view},
		"delivered of a status":      &message.Status{Delivered: seq, Progress: make([]message.Phase, 64)},
		"acknowledged of a status":   &message.Status{Acknowledged: seq},
		"stable of a status":         &message.Status{Stable: seq},
		"all of a status":            &message.Status{View: view, Delivered: seq, Acknowledged: seq, Stable: seq, Progress: make([]message.Phase, 64)},
		"beginning of a want":        &message.Want{From: seq, To: seq + 63},
		"end of a want":              &message.Want{From: seq - 63, To: seq},
		"width of a want":            &message.Want{From: 1, To: seq},
		"head of a bundle":           &message.Bundle{Head: seq, Requests: batch(0, 1000).Requests},
		"nonce and last in a bundle": &message.Bundle{Head: next - 1, Requests: b.Requests},
		"slot of a fetch":            &message.Fetch{Seq: seq, Batch: b.Digest()},
		"place in a fetch":           &message.Fetch{Seq: next - 1, Batch: b.Digest(), Missing: []uint16{uint16(n)}},
		"slot of bodies":             &message.Bodies{Seq: seq, Batch: b.Digest(), Time: c.now, Requests: b.Requests},
		"time of bodies":             &message.Bodies{Seq: next, Batch: timed.Digest(), Time: timed.Time, Requests: timed.Requests},
	}
}

// A member says every message there is with every number at the end of its range. Whatever Check lets through changes
// nothing for the others, and stops nobody.
//
// case D13; with slots compared as signed numbers in inWindow it never comes to an end.
func TestNumbersAtTheEndOfTheirRangeStopNobody(t *testing.T) {
	for _, n := range extremes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCluster(t, 4, small())
			c.tick(1)
			c.load(6)
			for _, b := range saidAt(n, c) {
				c.lie(4, b)
				c.tick(1)
			}

			before := c.node(1).replica.Head().Seq
			c.load(8)
			c.tick(20)

			if after := c.node(1).replica.Head().Seq; after <= before || after > before+20 {
				t.Errorf("head at %d, and at %d after more was asked for", before, after)
			}
			c.agree(c.node(1).replica.Head().Seq, 1, 2, 3)
			for id := epoch.ReplicaID(1); id <= 3; id++ {
				if r := c.node(id).replica; r.Halted() || r.Behind() > 0 {
					t.Errorf("member %d: halted %v, behind by %d", id, r.Halted(), r.Behind())
				}
			}
		})
	}
}
