package p2p

import "sync/atomic"

// Traffic counts since New. Bytes and frames are those handed in and out, without headers, heartbeats or
// encryption.
type Traffic struct {
	Votes, Bulk, Gossip Flow

	Refused uint64 // connections of strangers
	Foreign uint64 // greetings of members that are on another chain or version
	Silent  uint64 // sessions ended because nothing was heard
	Panics  uint64 // recovered in Config.Receive or ReceiveGossip; each cost its peer the session
}

// Flow is what went one way and the other.
type Flow struct {
	FramesIn, FramesOut uint64
	BytesIn, BytesOut   uint64
	Dropped             uint64 // never sent: no connection, queue full, or not a legal frame
}

type counters struct {
	framesIn, framesOut, bytesIn, bytesOut, dropped [classes]atomic.Uint64

	gossipIn, gossipOut, gossipBytesIn, gossipBytesOut, gossipDropped atomic.Uint64

	refused, foreign, silent, panics atomic.Uint64
}

// Traffic is a snapshot; its numbers are each exact, but not of one moment.
func (n *Network) Traffic() Traffic {
	c := &n.counters
	flow := func(class Class) Flow {
		return Flow{
			FramesIn: c.framesIn[class].Load(), FramesOut: c.framesOut[class].Load(),
			BytesIn: c.bytesIn[class].Load(), BytesOut: c.bytesOut[class].Load(),
			Dropped: c.dropped[class].Load(),
		}
	}
	return Traffic{
		Votes: flow(Votes), Bulk: flow(Bulk),
		Gossip: Flow{
			FramesIn: c.gossipIn.Load(), FramesOut: c.gossipOut.Load(),
			BytesIn: c.gossipBytesIn.Load(), BytesOut: c.gossipBytesOut.Load(),
			Dropped: c.gossipDropped.Load(),
		},
		Refused: c.refused.Load(), Foreign: c.foreign.Load(), Silent: c.silent.Load(), Panics: c.panics.Load(),
	}
}

func (c *counters) received(class Class, size int) {
	c.framesIn[class].Add(1)
	c.bytesIn[class].Add(uint64(size))
}

func (c *counters) sent(class Class, size int) {
	c.framesOut[class].Add(1)
	c.bytesOut[class].Add(uint64(size))
}
