package local

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/testnet/scenario"
)

// callTime is how long a client waits for an answer: then what came of it is unknown.
const callTime = 10 * time.Second

// Ack is what a client was told of one transaction that was executed.
type Ack struct {
	ID        crypto.Digest
	Sender    crypto.PublicKey
	Nonce     uint64
	Seq       epoch.Seq
	Operation []byte
}

// clients are all that there are. They share connections, and what they have verified.
type clients struct {
	network *Network
	seed    uint64
	all     *client.Client   // asks any node
	one     []*client.Client // asks one, by number, from 1
	known   map[int]*caller

	mu   sync.Mutex
	acks []Ack
	seq  uint64 // the highest that anybody was told of
}

// caller is one client.
type caller struct {
	key   crypto.PrivateKey
	nonce uint64 // of its last transaction
}

func newClients(n *Network, seed uint64) (*clients, error) {
	c := &clients{network: n, seed: seed, known: make(map[int]*caller)}
	var urls []string
	for _, i := range n.All() {
		urls = append(urls, n.URL(i))
		one, err := client.New(client.Config{Genesis: n.Genesis, Endpoints: []string{n.URL(i)}, Scheme: crypto.Ed25519()})
		if err != nil {
			return nil, err
		}
		c.one = append(c.one, one)
	}
	var err error
	c.all, err = client.New(client.Config{Genesis: n.Genesis, Endpoints: urls, Scheme: crypto.Ed25519()})
	return c, err
}

func (c *clients) close() {
	for _, one := range append(c.one, c.all) {
		if one != nil {
			one.Close()
		}
	}
}

// caller is the client of this number. Its key is the seed's.
func (c *clients) caller(number int) *caller {
	who := c.known[number]
	if who == nil {
		var text [16]byte
		binary.BigEndian.PutUint64(text[:], c.seed)
		binary.BigEndian.PutUint64(text[8:], uint64(number))
		who = &caller{key: crypto.NewPrivateKey(crypto.Hash("quorate/testnet/client", text[:]))}
		c.known[number] = who
	}
	return who
}

// Do has a client ask for something. An ordered get is a signed transaction, as the others are; a local get asks one node, once.
func (c *Cluster) Do(call scenario.Call, done func(scenario.Answer)) {
	var ask func(context.Context) scenario.Answer
	if call.Kind == scenario.LocalGet {
		ask = func(ctx context.Context) scenario.Answer { return c.clients.read(ctx, call) }
	} else {
		q := c.clients.request(call)
		ask = func(ctx context.Context) scenario.Answer { return c.clients.submit(ctx, q) }
	}
	called := c.Now()
	c.later(func() func() {
		ctx, cancel := context.WithTimeout(c.ctx, callTime)
		defer cancel()
		a := ask(ctx)
		a.Call, a.Return = called, c.Now()
		return func() { done(a) }
	})
}

// request signs what is asked for.
func (c *clients) request(call scenario.Call) *message.Request {
	var operation []byte
	switch key := []byte(call.Key); {
	case call.Kind == scenario.Put:
		operation = kv.Put(key, []byte(call.Value))
	case call.Kind == scenario.Get:
		operation = kv.Get(key)
	case call.Absent:
		operation = kv.Create(key, []byte(call.Value))
	default:
		operation = kv.CompareAndSet(key, []byte(call.Old), []byte(call.Value))
	}
	who := c.caller(call.Client)
	who.nonce++
	c.mu.Lock()
	last := c.seq + uint64(c.network.Genesis.Parameters.LastAhead)/2
	c.mu.Unlock()
	return message.NewRequest(crypto.Ed25519(), who.key, c.network.Genesis.Digest(), who.nonce, last, operation)
}

func (c *clients) submit(ctx context.Context, q *message.Request) scenario.Answer {
	a := scenario.Answer{ID: q.ID().String(), Outcome: scenario.Unknown}
	o, err := c.all.Submit(ctx, q)
	if refused := (*client.Refused)(nil); errors.As(err, &refused) {
		a.Outcome = scenario.Refused
	}
	if err != nil {
		return a
	}
	a.Seq, a.Outcome = uint64(o.Seq), scenario.Done
	if o.Status == client.Failed {
		a.Outcome = scenario.Failed
	}
	if len(o.Result) > 0 {
		if value, held, err := kv.DecodeContent(o.Result); err == nil {
			a.Value, a.Held = string(value), held
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq = max(c.seq, a.Seq)
	c.acks = append(c.acks, Ack{ID: o.ID, Sender: q.Sender, Nonce: q.Nonce, Seq: o.Seq, Operation: q.Operation})
	return a
}

// read asks one node. Without an answer nothing has happened.
func (c *clients) read(ctx context.Context, call scenario.Call) scenario.Answer {
	a := scenario.Answer{Outcome: scenario.Refused}
	if call.Node < 1 || call.Node > len(c.one) {
		return a
	}
	r, err := c.one[call.Node-1].Read(ctx, kv.GetQuery([]byte(call.Key)), nil)
	if err != nil {
		return a
	}
	value, held, err := kv.DecodeContent(r.Answer)
	if err != nil {
		return a
	}
	return scenario.Answer{Outcome: scenario.Done, Value: string(value), Held: held, Seq: uint64(r.Seq)}
}

// acknowledged is what clients have been told so far.
func (c *clients) acknowledged() []Ack {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks[:len(c.acks):len(c.acks)]
}
