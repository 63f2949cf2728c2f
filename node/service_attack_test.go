package node

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/api/reason"
)

// pipes is a listener whose connections hold nothing: what one side writes waits until the other reads. In a bubble of
// synctest, time passes only while all wait.
type pipes struct {
	net.Listener
	calls chan net.Conn
	ended chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.ended)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// call connects, and says something.
func (p *pipes) call(t *testing.T, text string) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	p.calls <- there
	if _, err := io.WriteString(here, text); err != nil {
		t.Fatal(err)
	}
	return here
}

// servePipes is serve in a bubble.
func servePipes(t *testing.T, n *fakeNode) (*service, *pipes) {
	t.Helper()
	s, err := newService(n, "127.0.0.1:0", newMetrics(n.Status, func() (made, verified uint64) { return 0, 0 }), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.listener.Close(); err != nil {
		t.Fatal(err)
	}
	p := &pipes{calls: make(chan net.Conn), ended: make(chan struct{})}
	s.listener = &gatedListener{Listener: p, gate: newGate(maxConnections, maxConnectionsPerAddress)}
	s.start(func(err error) { t.Error(err) })
	return s, p
}

func (g *gate) taken() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.in
}

// case E10: who asks and never reads the answer is cut off, and what he took up is free again.
// To see it fail, set no deadline in gatedConn.Write.
func TestACallerWhoNeverReadsIsCutOff(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	n.put("k", strings.Repeat("v", 60<<10))
	block := `{"seq":"1"}`
	for name, call := range map[string]string{
		"plain":   "GET /block/1 HTTP/1.1\r\nHost: n\r\n\r\n",
		"connect": fmt.Sprintf("POST /quorate.v1.NodeService/GetBlock HTTP/1.1\r\nHost: n\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(block), block),
		"events":  "GET /events HTTP/1.1\r\nHost: n\r\n\r\n",
		"metrics": "GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := servePipes(t, n)
				c := p.call(t, call)
				defer c.Close()
				time.Sleep(writeTimeout + time.Second)
				synctest.Wait()
				if c := s.listener.(*gatedListener).gate.taken(); c != 0 {
					t.Error("the connection is still open")
				}
				if r, l, b := s.reading.taken(), s.listening.taken(), s.calls.taken()+s.bodies.taken(); r+l+b != 0 {
					t.Errorf("%d reads, %d listeners and %d bytes are still taken up", r, l, b)
				}
				if err := s.stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// case E6: a body that is announced and comes slowly, or not at all, holds neither the connection nor a place.
// To see it fail, let bodiless pass every call, or set no read deadline in body.
func TestABodyThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	for name, path := range map[string]string{
		"where none is taken": "POST /status", "of a GET": "GET /healthz", "of a call": "POST /quorate.v1.NodeService/Submit",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := servePipes(t, n)
				c := p.call(t, path+" HTTP/1.1\r\nHost: n\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				if answer.StatusCode != 400 || answer.Header.Get(reason.Header) != string(reason.BadParameters) {
					t.Errorf("answers %s, %v", answer.Status, answer.Header)
				}
				if _, err := io.Copy(io.Discard, c); err != nil { // to its end
					t.Error(err)
				}
				if b := s.calls.taken() + s.bodies.taken(); b != 0 {
					t.Errorf("%d bytes are still taken up", b)
				}
				if err := s.stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// holdCall begins a call whose body does not end, with so many bytes of it, and waits until a place is taken up.
func holdCall(t *testing.T, s *service, bytes int, g *gate) {
	t.Helper()
	c, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	const head = "POST /quorate.v1.NodeService/Submit HTTP/1.1\r\nHost: n\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n"
	if _, err := io.WriteString(c, head+strings.Repeat(" ", bytes)); err != nil {
		t.Fatal(err)
	}
	for patience := time.Now().Add(30 * time.Second); g.taken() == 0; runtime.Gosched() {
		if time.Now().After(patience) {
			t.Fatal("no place is taken up")
		}
	}
}

// post sends a call, and yields what it is refused for.
func post(t *testing.T, s *service, body string) (code int, why reason.Reason, retry string) {
	t.Helper()
	answer, err := http.Post("http://"+s.addr()+"/quorate.v1.NodeService/Submit", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode, reason.Reason(answer.Header.Get(reason.Header)), answer.Header.Get("Retry-After")
}

// case E6: calls of one address take up memory only as far as there is some for it, and whoever is refused hears when to come
// again. To see it fail, do not take places of s.calls.
func TestCallsOfOneAddressAreBounded(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	s.calls = newGate(10*callBytes, callBytes)
	holdCall(t, s, 0, s.calls)
	if code, why, retry := post(t, s, "{}"); code != 429 || why != reason.TooManyWaiting || retry == "" {
		t.Errorf("answers %d, %s, retry %q", code, why, retry)
	}
	if code, _ := get(t, s, "/status"); code != 200 {
		t.Errorf("/status answers %d: it takes no body, and nothing of this", code)
	}
}

// case E6: large bodies have memory of their own: whoever fills it keeps out other large ones, and no small one.
// To see it fail, do not take places of s.bodies, or take them for every body.
func TestLargeBodiesKeepOutNoSmallOnes(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	s.bodies = newGate(maxBodyBytes, maxBodyBytes)
	holdCall(t, s, smallBody+1, s.bodies)
	large := "{" + strings.Repeat(" ", smallBody) + "}"
	if code, why, retry := post(t, s, large); code != 429 || why != reason.TooManyWaiting || retry == "" {
		t.Errorf("a large body is answered %d, %s, retry %q", code, why, retry)
	}
	if code, why, _ := post(t, s, "{}"); code == 429 || why == reason.TooManyWaiting {
		t.Errorf("a small body is answered %d, %s", code, why)
	}
}

// case E3: what unpacks to more than a call may have is refused, in whichever protocol, and takes up no more than that.
// To see it fail, leave out connect.WithReadMaxBytes.
func TestACompressedBombIsRefused(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	io.WriteString(z, `{"transaction":"`)
	for range 64 {
		z.Write(bytes.Repeat([]byte("A"), 1<<20))
	}
	io.WriteString(z, `"}`)
	z.Close()
	call, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.addr()+"/quorate.v1.NodeService/Submit", &bomb)
	if err != nil {
		t.Fatal(err)
	}
	call.Header.Set("Content-Type", "application/json")
	call.Header.Set("Content-Encoding", "gzip")
	answer, err := http.DefaultClient.Do(call)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != 429 || !strings.Contains(string(text), "resource_exhausted") {
		t.Errorf("answers %s %s", answer.Status, text)
	}
}

// Listeners stay as long as they like; nobody who reads waits for them.
// To see it fail, let events take places of s.reading.
func TestListenersTakeNoPlacesOfReaders(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	n.put("k", "v")
	s := serve(t, n)
	s.reading, s.listening = newGate(1, 1), newGate(1, 1)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	call, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.addr()+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := http.DefaultClient.Do(call)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if code, body := get(t, s, "/block/1"); code != 200 {
		t.Errorf("/block/1 answers %d %s", code, body)
	}
	if code, body := get(t, s, "/events"); code != 429 {
		t.Errorf("a second listener is answered %d %s", code, body)
	}
}
