package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	libp2pcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/multiformats/go-multistream"

	"github.com/quorate/quorate/api"
	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/quorate/v1/quoratev1connect"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
)

// A stranger has no key that any node knows, and many addresses. Each attack is what one of its connections does; the stranger
// keeps so many of them up, and replaces those that are closed.

// strangerProcess is the name by which the test binary attacks a network.
const strangerProcess = "quorate-stranger"

// usualConnections is how many the stranger has at once, over all its victims, unless an attack is of more. A connection that
// is closed is replaced after strangerPause.
const (
	usualConnections = 400
	strangerPause    = 2 * time.Second
)

// attack is what a connection does to a victim until it is closed, or the stranger has had enough.
type attack struct {
	name   string
	onAPI  bool // else on the libp2p port
	attack func(ctx context.Context, c net.Conn, id peer.ID) error

	connections int  // at once, if not usualConnections
	oneVictim   bool // all of them to the first node
	oneSource   bool // all of them from one address
}

var attacks = []attack{
	{name: "idle connections", attack: waitForEnd},
	{name: "half-open handshakes", attack: func(ctx context.Context, c net.Conn, id peer.ID) error {
		return sayAndWait(ctx, c, "\x13/multistream/1.0.0\n\x07/noise\n\x00\x20")
	}},
	{name: "a byte a second", attack: func(ctx context.Context, c net.Conn, id peer.ID) error {
		return dribble(ctx, c, "\x13/multistream/1.0.0\n\x07/noise\n\x00\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	}},
	{name: "random bytes", attack: func(ctx context.Context, c net.Conn, id peer.ID) error {
		_, err := io.CopyN(c, rand.Reader, 1<<20)
		return err
	}},
	{name: "a length of 2^31 from no member", attack: sayALength},
	{name: "a flood of connections", attack: hangUp},
	{name: "a flood of connections on the API", onAPI: true, attack: hangUp},
	{name: "as many API connections as one address may have", onAPI: true, attack: waitForEnd, connections: 4 * 4200, oneSource: true},
	{name: "more API connections than a node takes", onAPI: true, attack: waitForEnd, connections: 9000, oneVictim: true},
	{name: "slow headers", onAPI: true, attack: func(ctx context.Context, c net.Conn, _ peer.ID) error {
		return dribble(ctx, c, "GET /status HTTP/1.1\r\nHost: "+strings.Repeat("x", 1000))
	}},
	{name: "slow bodies", onAPI: true, attack: func(ctx context.Context, c net.Conn, _ peer.ID) error {
		return dribble(ctx, c, submission("", 1000), strings.Repeat("x", 1000))
	}},
	{name: "large bodies that never end", onAPI: true, attack: func(ctx context.Context, c net.Conn, _ peer.ID) error {
		return dribble(ctx, c, submission("", largeBody), strings.Repeat("x", largeBody-100), strings.Repeat("x", 100))
	}, connections: 4 * 400},
	{name: "large headers", onAPI: true, attack: func(ctx context.Context, c net.Conn, _ peer.ID) error {
		if _, err := io.WriteString(c, "GET /status HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-Y: "+strings.Repeat("z", 1000)+"\r\n", 1000)); err != nil {
			return err
		}
		return waitForEnd(ctx, c, "")
	}},
	{name: "compressed bombs", onAPI: true, attack: func(ctx context.Context, c net.Conn, _ peer.ID) error {
		if _, err := io.WriteString(c, submission("Content-Encoding: gzip\r\n", len(bomb()))+string(bomb())); err != nil {
			return err
		}
		return waitForEnd(ctx, c, "")
	}},
	{name: "calls whose caller never reads", onAPI: true, attack: func(ctx context.Context, c net.Conn, _ peer.ID) error {
		return sayAndWait(ctx, c, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 100))
	}, connections: 4 * 500},
	{name: "ten thousand calls that wait and whose caller never reads", onAPI: true, attack: waitForOutcomes},
	{name: "a hundred looks a second", onAPI: true, attack: look},
}

// largeBody is about what the largest call to submit has, in bytes.
const largeBody = 500 << 10

// submission is the head of a call to submit.
func submission(header string, size int) string {
	return "POST /quorate.v1.NodeService/Submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + header +
		"Content-Length: " + strconv.Itoa(size) + "\r\n\r\n"
}

// bomb is 64 MiB of zeros, in 64 KiB.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(make([]byte, 64<<20))
	w.Close()
	return b.Bytes()
})

func hangUp(context.Context, net.Conn, peer.ID) error { return nil }

// waitForEnd reads nothing, and notices when the other side hangs up only if that resets the connection or it is asked.
func waitForEnd(ctx context.Context, c net.Conn, _ peer.ID) error {
	c.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := io.Copy(io.Discard, c)
	return err
}

// sayAndWait says something and reads nothing until the stranger has had enough.
func sayAndWait(ctx context.Context, c net.Conn, words string) error {
	if _, err := io.WriteString(c, words); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Second):
	}
	return nil
}

// dribble says at once all but the last of its words, and those by the second.
func dribble(ctx context.Context, c net.Conn, words ...string) error {
	last := words[len(words)-1]
	if _, err := io.WriteString(c, strings.Join(words[:len(words)-1], "")); err != nil {
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range last {
		if _, err := io.WriteString(c, last[i:i+1]); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// sayALength shakes hands as libp2p does, with a key that nobody knows, and announces frames of 2 GiB.
func sayALength(ctx context.Context, c net.Conn, id peer.ID) error {
	key, _, err := libp2pcrypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return err
	}
	security, err := noise.New(noise.ID, key, nil)
	if err != nil {
		return err
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if err := multistream.SelectProtoOrFail(noise.ID, c); err != nil {
		return err
	}
	var secure sec.SecureConn
	if secure, err = security.SecureOutbound(ctx, c, id); err != nil {
		return err
	}
	_, err = secure.Write(bytes.Repeat([]byte{0x80, 0, 0, 0}, 1<<10))
	return err
}

// look asks for what is cheap to ask for.
func look(ctx context.Context, c net.Conn, _ peer.ID) error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil },
	}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(time.Second) // each of a hundred connections to each node once
	defer tick.Stop()
	for {
		for _, path := range []string{"/status", "/metrics"} {
			answer, err := client.Get("http://victim" + path)
			if err != nil {
				return err
			}
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// deafConn is a connection of which nothing is read.
type deafConn struct {
	net.Conn
	ctx context.Context
}

func (c deafConn) Read([]byte) (int, error) {
	<-c.ctx.Done()
	return 0, c.ctx.Err()
}

// waitForOutcomes has calls wait for a transaction over one HTTP/2 connection, ten thousand with those of all connections, and
// never reads what became of it.
func waitForOutcomes(ctx context.Context, c net.Conn, _ peer.ID) error {
	victim := "http://" + c.RemoteAddr().String()
	answer, err := http.Get(victim + "/status")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var status api.Status
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil {
		return err
	}
	var chain crypto.Digest
	if err := chain.UnmarshalText([]byte(status.Chain)); err != nil {
		return err
	}
	var seed [crypto.SeedSize]byte
	rand.Read(seed[:])
	q := message.NewRequest(crypto.Ed25519(), crypto.NewPrivateKey(seed), chain, 1, status.Seq+lastAhead, kv.Put([]byte("stranger"), nil))

	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return deafConn{c, ctx}, nil
	}}
	service := quoratev1connect.NewNodeServiceClient(&http.Client{Transport: transport}, victim)
	var all sync.WaitGroup
	for range 10_000 / usualConnections {
		all.Go(func() {
			_, _ = service.Submit(ctx, connect.NewRequest(&quoratev1.SubmitRequest{Transaction: q.Bytes()}))
		})
		select {
		case <-time.After(strangerPause / 10): // not all at once: the victims share the processor
		case <-ctx.Done():
		}
	}
	all.Wait()
	return nil
}

// runStranger attacks: name of the attack, duration, its own addresses, and its victims as host:port or host:port@id, both
// separated by commas.
func runStranger() int {
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == os.Args[1] })
	duration, err := time.ParseDuration(os.Args[2])
	if i < 0 || err != nil {
		fmt.Fprintln(os.Stderr, "no such attack:", os.Args[1:])
		return 2
	}
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	sources, victims := strings.Split(os.Args[3], ","), strings.Split(os.Args[4], ",")
	var all sync.WaitGroup
	var made atomic.Uint64
	a := attacks[i]
	if a.oneVictim {
		victims = victims[:1]
	}
	if a.oneSource {
		sources = sources[:1]
	}
	connections := a.connections
	if connections == 0 {
		connections = usualConnections
	}
	for n := range connections {
		all.Go(func() {
			source := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(sources[n%len(sources)])}}
			address, id, _ := strings.Cut(victims[n%len(victims)], "@")
			known, _ := peer.Decode(id)
			for ctx.Err() == nil {
				c, err := source.DialContext(ctx, "tcp", address)
				if err == nil {
					made.Add(1)
					stop := context.AfterFunc(ctx, func() { c.Close() })
					_ = a.attack(ctx, c, known) // the victim hangs up: that is what is hoped for
					stop()
					c.Close()
				}
				// Not a race for the processor, which the victims share.
				select {
				case <-time.After(strangerPause):
				case <-ctx.Done():
				}
			}
		})
	}
	all.Wait()
	fmt.Println(made.Load())
	return 0
}
