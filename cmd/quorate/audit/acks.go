package audit

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
)

// Acks are lines that say what clients were told: `id sender nonce seq unix_nanos key value`, of puts.
type Acks struct {
	lines []ack
	at    map[crypto.Digest][]int // lines by id
	last  epoch.Seq
}

type ack struct {
	id        crypto.Digest
	sender    crypto.PublicKey
	nonce     uint64
	seq       epoch.Seq
	operation crypto.Digest
	seen      uint32 // by which nodes it was shown: bit i of node i+1
}

// maxLine bounds a line, in bytes: a key and a value at their largest, and the rest.
const maxLine = 128 << 10

// ReadAcks reads lines; the error names the line and the reason.
func ReadAcks(in io.Reader) (*Acks, error) {
	a := &Acks{at: make(map[crypto.Digest][]int)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		n := len(a.lines) + 1
		one, err := readAck(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		a.add(one)
	}
	return a, lines.Err()
}

// Ack is what a client was told of one transaction.
type Ack struct {
	ID        crypto.Digest
	Sender    crypto.PublicKey
	Nonce     uint64
	Seq       epoch.Seq
	Operation []byte
}

// NewAcks are acknowledgements of any operations; they are numbered as lines are.
func NewAcks(all []Ack) *Acks {
	a := &Acks{at: make(map[crypto.Digest][]int)}
	for _, one := range all {
		a.add(ack{id: one.ID, sender: one.Sender, nonce: one.Nonce, seq: one.Seq, operation: operationDigest(one.Operation)})
	}
	return a
}

func (a *Acks) add(one ack) {
	a.at[one.id] = append(a.at[one.id], len(a.lines))
	a.lines = append(a.lines, one)
	a.last = max(a.last, one.seq)
}

func readAck(line string) (a ack, err error) {
	f := strings.Split(line, " ")
	if len(f) != 7 {
		return ack{}, fmt.Errorf("%d words, want 7: id sender nonce seq unix_nanos key value", len(f))
	}
	if err := a.id.UnmarshalText([]byte(f[0])); err != nil {
		return ack{}, fmt.Errorf("id: %w", err)
	}
	if err := a.sender.UnmarshalText([]byte(f[1])); err != nil {
		return ack{}, fmt.Errorf("sender: %w", err)
	}
	if a.nonce, err = strconv.ParseUint(f[2], 10, 64); err != nil {
		return ack{}, fmt.Errorf("nonce: %w", err)
	}
	seq, err := strconv.ParseUint(f[3], 10, 64)
	if err != nil {
		return ack{}, fmt.Errorf("seq: %w", err)
	}
	if _, err := strconv.ParseInt(f[4], 10, 64); err != nil {
		return ack{}, fmt.Errorf("unix_nanos: %w", err)
	}
	a.seq, a.operation = epoch.Seq(seq), operationDigest(kv.Put([]byte(f[5]), []byte(f[6])))
	return a, nil
}

func operationDigest(op []byte) crypto.Digest { return crypto.Hash("quorate/audit/operation", op) }

// Newest is the highest slot of any line.
func (a *Acks) Newest() epoch.Seq { return a.last }

// sight marks the acknowledged transactions that a node's block shows.
func (a *auditor) sight(node int, b *proof.Block) {
	for _, q := range b.Batch.Requests {
		for _, i := range a.acks.at[q.ID()] {
			l := &a.acks.lines[i]
			if l.seq == b.Header.Seq && l.sender == q.Sender && l.nonce == q.Nonce &&
				l.operation == operationDigest(q.Operation) && a.replay.executed[q.ID()] == b.Header.Seq {
				l.seen |= 1 << (node - 1)
			}
		}
	}
}

// acknowledged looks for every line in every chain that was read and reaches its slot.
//
// A node may be behind, and nobody can say yet what it will hold: it counts as missing. But an acknowledgement means that
// a quorum has executed the slot, so that at least a quorum less those who may lie hold it: if so many cannot even be
// among the nodes that were not read, it is lost.
func (a *auditor) acknowledged() {
	furthest, unread := epoch.Seq(0), 0
	for _, n := range a.report.Nodes {
		if n.Missing != nil {
			unread++
			continue
		}
		furthest = max(furthest, n.Last)
	}
	e := a.replay.epoch
	lost := a.acks.last > furthest && unread < quorum(e.Mode, e.N())-e.Faulty()
	for i := range a.report.Nodes {
		n := &a.report.Nodes[i]
		if n.Missing != nil {
			continue
		}
		through := n.Last
		switch {
		case a.acks.last <= n.Last:
		case lost:
			through = a.acks.last
		default:
			n.Missing = fmt.Errorf("its chain ends at %d, below %d, which was acknowledged", n.Last, a.acks.last)
		}
		a.missingAcks(i+1, through)
	}
}

// missingAcks tells of what was acknowledged at slots through the given one, and a node does not show.
func (a *auditor) missingAcks(node int, through epoch.Seq) {
	for i := range a.acks.lines {
		l := &a.acks.lines[i]
		if l.seen&(1<<(node-1)) != 0 || l.seq > through {
			continue
		}
		where := "is executed nowhere"
		if seq, ok := a.replay.executed[l.id]; ok && seq != l.seq {
			where = fmt.Sprintf("is executed at %d", seq)
		} else if ok {
			where = "has another sender, nonce, key or value there"
		}
		a.mu.Lock()
		a.violationLocked(node, Durability,
			fmt.Sprintf("line %d of the acknowledgements: transaction %s was acknowledged at %d, but %s", i+1, l.id, l.seq, where))
		a.mu.Unlock()
	}
}
