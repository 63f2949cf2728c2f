package api

// Status is the answer to GET /status: one moment of a node, in its own words.
type Status struct {
	Chain   string   `json:"chain"` // the genesis digest
	Node    uint32   `json:"node"`
	Role    string   `json:"role"` // leader, candidate or follower; or observer: it follows and has no vote
	Mode    string   `json:"mode"`
	Epoch   uint64   `json:"epoch,string"`
	View    uint64   `json:"view,string"`
	Leader  uint32   `json:"leader"`
	Seq     uint64   `json:"seq,string"`    // the last executed
	Stable  uint64   `json:"stable,string"` // the newest stable checkpoint
	Header  string   `json:"header"`        // digest of the header at Seq
	State   string   `json:"state"`         // state digest at Seq
	Members []Member `json:"members"`
	Peers   int      `json:"peers"` // members that the node is connected to, itself not counted
	Ready   bool     `json:"ready"`
	Why     string   `json:"why"` // why it is not ready
	Version string   `json:"version"`

	Incarnation string `json:"incarnation"` // the life of the node's own log

	PoolTransactions int `json:"pool_transactions"`
	PoolBytes        int `json:"pool_bytes"`
}

// HandedIn is the answer to POST /change and POST /recover: it holds, and waits.
type HandedIn struct {
	ID string `json:"id"`
}

// Changes is the answer to GET /changes: what operators have asked for in the running epoch, and has not come about.
type Changes struct {
	Changes  []Change  `json:"changes"`
	Recovery *Recovery `json:"recovery"` // null: none
}

// Change is one that waits until enough members are ready for what it announces.
type Change struct {
	ID    string   `json:"id"`
	Mode  string   `json:"mode"`
	Last  uint64   `json:"last,string"` // the last slot at which it may be ordered
	Ready []uint32 `json:"ready"`       // members that have said so of late
}

// Recovery is one that waits until the members of the epoch have been asked.
type Recovery struct {
	ID      string   `json:"id"`
	Heard   []uint32 `json:"heard"`   // members that have answered of late
	Willing []uint32 `json:"willing"` // of these, those that would take part
	Voters  int      `json:"voters"`  // of these, how many have a vote in the epoch: with a quorum, it can help itself
	Further int      `json:"further"` // of these, how many say to be beyond where the recovery begins
}

// Member is one member of the current epoch.
type Member struct {
	ID   uint32 `json:"id"`
	Name string `json:"name"`
	Key  string `json:"key"`
	API  string `json:"api"` // host:port
}

// Block is the answer to GET /block/SEQ.
type Block struct {
	Header       Header        `json:"header"`
	HeaderDigest string        `json:"header_digest"`
	Mode         string        `json:"mode"`
	View         uint64        `json:"view,string"`
	Leader       uint32        `json:"leader"`
	BatchTime    int64         `json:"batch_time,string"` // the leader's, in ms since 1970: part of the batch digest
	Transactions []Transaction `json:"transactions"`
	Change       string        `json:"change,omitempty"` // instead of transactions: what ends the epoch, encoded, in hexadecimal
	Certificate  []Signed      `json:"certificate"`      // a quorum's commits
	Attestations []Signed      `json:"attestations"`     // that cover the block, as far as still at hand
}

// Header is a block's header.
type Header struct {
	Epoch     string `json:"epoch"` // identity of the epoch
	Seq       uint64 `json:"seq,string"`
	Parent    string `json:"parent"`
	Batch     string `json:"batch"`
	Results   string `json:"results"`
	State     string `json:"state"`
	Time      int64  `json:"time,string"` // in ms since 1970
	NextEpoch string `json:"next_epoch"`  // zeros if the block announces none
}

// Headers is the answer to GET /headers?from=&to=: as many as fit one answer.
type Headers struct {
	Headers []NumberedHeader `json:"headers"`
	Next    uint64           `json:"next,omitempty,string"` // where to go on; absent: that was all
}

// NumberedHeader is a header with its digest.
type NumberedHeader struct {
	Header       Header `json:"header"`
	HeaderDigest string `json:"header_digest"`
}

// Epoch is the answer to GET /epoch/N.
type Epoch struct {
	Number     uint64            `json:"number,string"`
	Identity   string            `json:"identity"`    // digest of the header that announced it; of the first, the genesis digest; or see Recovery
	Chain      string            `json:"chain"`       // the genesis digest
	Base       uint64            `json:"base,string"` // the last slot of the epoch before
	Mode       string            `json:"mode"`
	Quorum     int               `json:"quorum"` // members
	Members    []EpochMember     `json:"members"`
	Parameters map[string]uint32 `json:"parameters"`
	Operators  []string          `json:"operators"` // keys whose signatures change epochs
	Threshold  uint32            `json:"threshold"` // how many of them it takes
	Header     *Header           `json:"header"`    // of the base, which announces it; null for the first
	HandOver   []Signed          `json:"hand_over"` // attestations to the header at the base, by both epochs; the first has none
	// Recovery is with what operators have forced the epoch before to end at the base, encoded, in hexadecimal: then its identity is of
	// this, and not of the header.
	Recovery string `json:"recovery,omitempty"`
}

// EpochMember is a member's whole entry.
type EpochMember struct {
	ID          uint32 `json:"id"`
	Name        string `json:"name"`
	Key         string `json:"key"`
	PeerID      string `json:"peer_id"`
	Address     string `json:"address"`
	API         string `json:"api"`
	Incarnation string `json:"incarnation"`
}

// EvidenceList is the answer to GET /evidence.
type EvidenceList struct {
	Evidence []Evidence `json:"evidence"`
	// Epochs are those that lead from the genesis to all that the evidence is of, as GET /epoch/N has them, from 1: what it takes to judge
	// the evidence without asking anybody.
	Epochs []Epoch `json:"epochs,omitempty"`
}

// Evidence is two things that one member has signed, and of which a correct member signs at most one.
type Evidence struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Member uint32 `json:"member"`
	Key    string `json:"key"`
	Epoch  string `json:"epoch"`
	A      Word   `json:"a"`
	B      Word   `json:"b"`
}

// Word is something signed, by whoever the context says.
type Word struct {
	Signed    string `json:"signed"` // the exact bytes under the signature
	Signature string `json:"signature"`
}

// Transaction is one of a block's, with what came of it there.
type Transaction struct {
	ID        string `json:"id"`
	Bytes     string `json:"bytes"` // the exact bytes under the signature
	Signature string `json:"signature"`
	Status    string `json:"status"`
	Code      uint16 `json:"code"`       // why, if it failed
	Seq       uint64 `json:"seq,string"` // where it was decided first: another block if it is a duplicate
	Result    string `json:"result"`
}

// Signed is something a member has said.
type Signed struct {
	Member    uint32 `json:"member"`
	Signed    string `json:"signed"` // the exact bytes under the signature
	Signature string `json:"signature"`
}

// Outcome is the answer to GET /tx/ID: what became of a transaction where it was decided first.
type Outcome struct {
	ID     string `json:"id"`
	Seq    uint64 `json:"seq,string"`
	Index  int    `json:"index"` // in the block, from 0
	Status string `json:"status"`
	Code   uint16 `json:"code"`
	Result string `json:"result"`
}

// The data of server-sent events: docs/protocol/events.md.
type (
	// CommittedEvent is that a quorum has attested a slot.
	CommittedEvent struct {
		Seq          uint64 `json:"seq,string"`
		HeaderDigest string `json:"header_digest"`
		Time         int64  `json:"time,string"` // in ms since 1970
		Transactions int    `json:"transactions"`
	}
	// ViewEvent is that the node votes in a view.
	ViewEvent struct {
		View   uint64 `json:"view,string"`
		Leader uint32 `json:"leader"`
	}
	// EpochEvent is that the node takes part in an epoch.
	EpochEvent struct {
		Epoch uint64 `json:"epoch,string"`
	}
	// CheckpointEvent is which checkpoint is stable.
	CheckpointEvent struct {
		Seq uint64 `json:"seq,string"`
	}
	// EvidenceEvent is how much evidence the node holds.
	EvidenceEvent struct {
		Count int `json:"count"`
	}
	// ReadyEvent is whether the node is ready, and why not.
	ReadyEvent struct {
		Ready bool   `json:"ready"`
		Why   string `json:"why"`
	}
	// FaultEvent is why the node ends by itself.
	FaultEvent struct {
		Why string `json:"why"`
	}
)

// Trace is the answer to GET /trace/SEQ: when each thing happened to a slot, as the node saw it.
type Trace struct {
	Node   uint32  `json:"node"`
	Seq    uint64  `json:"seq,string"`
	Points []Point `json:"points"` // in the order in which the node reached them
}

// Point is that a slot came to a step, the first time.
type Point struct {
	Step   string `json:"step"`        // one of those in docs/protocol/trace.md
	Member uint32 `json:"member"`      // who has proposed, prepared, committed or attested; else the node itself
	View   uint64 `json:"view,string"` // of what is said in a view; else 0
	// UnixNanos is of the node's wall clock when it started, moved on by its monotonic clock.
	UnixNanos int64 `json:"unix_nanos,string"`
}

// Error is the body of a plain GET answer that is none.
type Error struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}
