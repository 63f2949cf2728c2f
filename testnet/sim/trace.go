package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// trace digests every event, and tells the story to whoever wants to read it.
type trace struct {
	hash hash.Hash
	buf  []byte
	out  io.Writer
}

func newTrace(out io.Writer) trace { return trace{hash: sha256.New(), out: out} }

func (t *trace) event(e *event) {
	node := byte(0)
	if e.node != nil {
		node = byte(e.node.id)
	}
	t.buf = binary.BigEndian.AppendUint64(t.buf, uint64(e.at))
	t.buf = append(t.buf, node, byte(e.kind))
	t.buf = binary.BigEndian.AppendUint64(t.buf, e.mark)
	if len(t.buf) > 4<<10 {
		t.flush()
	}
}

// fact adds something that events alone would not show.
func (t *trace) fact(d crypto.Digest) { t.buf = append(t.buf, d[:]...) }

func (t *trace) flush() {
	t.hash.Write(t.buf)
	t.buf = t.buf[:0]
}

func (t *trace) digest() (d crypto.Digest) {
	t.flush()
	t.hash.Sum(d[:0])
	return d
}

// tell adds a line to the story. A sentence names its node first.
func (w *World) tell(n *node, format string, args ...any) {
	if w.trace.out == nil {
		return
	}
	who := "     "
	if n != nil {
		who = fmt.Sprintf("node%d", n.id)
	}
	fmt.Fprintf(w.trace.out, "%10s %s %s\n", clock(w.now), who, fmt.Sprintf(format, args...))
}

func (w *World) countSent(m *message.Signed) {
	switch b := m.Body.(type) {
	case *message.PrePrepare:
		if b.Outline != nil {
			w.counts.ByName++
		}
	case *message.PaxosAccept:
		if b.Outline != nil {
			w.counts.ByName++
		}
	case *message.Fetch:
		w.counts.Fetches++
	}
}

// tellSent tells what a node says for the first time.
func (w *World) tellSent(n *node, m *message.Signed) {
	if w.trace.out == nil {
		return
	}
	switch b := m.Body.(type) {
	case *message.PrePrepare:
		w.tell(n, "proposes batch %s at slot %d, %d transactions", b.Digest.Short(), b.Seq, b.Count())
	case *message.Prepare:
		w.tell(n, "prepares slot %d (batch %s)", b.Seq, b.Digest.Short())
	case *message.Commit:
		w.tell(n, "commits slot %d (batch %s)", b.Seq, b.Digest.Short())
	case *message.PaxosPrepare:
		w.tell(n, "asks for promises of view %d", b.View)
	case *message.PaxosPromise:
		w.tell(n, "promises view %d, and shows %d slots", b.View, len(b.Accepted))
	case *message.PaxosAccept:
		w.tell(n, "asks for batch %s at slot %d in view %d, %d transactions", b.Digest.Short(), b.Seq, b.View, b.Count())
	case *message.PaxosAccepted:
		w.tell(n, "accepts slot %d in view %d (batch %s)", b.Seq, b.View, b.Digest.Short())
	case *message.Attestation:
		w.tell(n, "attests header %s of slot %d", b.Header.Short(), b.Seq)
	case *message.Want:
		w.tell(n, "asks for blocks %d to %d", b.From, b.To)
	case *message.Have:
		if len(b.Blocks) > 0 {
			w.tell(n, "sends %d blocks", len(b.Blocks))
		}
	}
}

func (w *World) note(n *node, note bft.Note) {
	switch note := note.(type) {
	case bft.DecidedSlot:
		how := "has decided"
		if note.Learned {
			how = "learns"
			w.counts.CatchUps++
		}
		w.tell(n, "%s slot %d (batch %s)", how, note.Seq, note.Batch.Short())
	case bft.HoldsEvidence:
		of := note.Broken()
		w.tell(n, "holds evidence: member %d broke its word about %s of slot %d in view %d", of.Author, of.Kind, of.Seq, of.View)
		w.counts.Evidence++
		if !w.lies(of.Author) {
			w.broken(n, breaks("accusations", "accuses member %d, who is honest", of.Author))
		}
	case bft.LeftView:
		w.counts.Departures++
		w.tell(n, "leaves for view %d", note.View)
	case bft.SealedEpoch:
		w.tell(n, "has epoch %d announced at slot %d", note.Next.Number, note.Next.Base)
	case bft.EnteredEpoch:
		w.tell(n, "takes part in epoch %d, %s", note.Number, note.Mode)
		w.began(n)
	case bft.VoidChange:
		w.counts.VoidChanges++
		w.tell(n, "finds the change of slot %d void: %v", note.Seq, note.Reason)
	case bft.EnteredView:
		if e := n.host.Replica().Epoch(); e.Number == w.number && note.View > w.view {
			w.counts.ViewChanges++
			if e.Mode == epoch.Crash {
				w.counts.Elections++
			}
			w.view = note.View
		}
		w.tell(n, "votes in view %d, led by %d", note.View, note.Leader)
	case bft.StableAt:
		w.counts.Checkpoints++
		w.tell(n, "has a stable checkpoint at slot %d", note.Seq)
	}
}
