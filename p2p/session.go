package p2p

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multistream"
)

const (
	greetTimeout = 3 * time.Second  // to open a stream and greet
	voteTimeout  = 5 * time.Second  // for a write of votes
	bulkTimeout  = 30 * time.Second // for a write of bulk, or for more of a frame that has begun
	linger       = time.Second      // how long a foreigner has to read why it is refused
)

// session is one connection with its four streams. It is up when all four have greeted, and ends as a
// whole, once.
type session struct {
	link *link
	n    *Network
	conn network.Conn

	votes *voteQueue
	bulk  *byteQueue
	pace  *pace

	inbound [classes]atomic.Bool // a stream of this class has come
	greeted atomic.Int32         // streams that have, out of 2*classes
	up      chan struct{}        // closed when up and announced
	done    chan struct{}        // closed at the end
	ended   sync.Once

	heard  atomic.Int64 // when a frame of votes was last read to its end, in Unix ns
	busy   atomic.Int32 // votes are being handed over: the silence is this node's own
	misfit atomic.Bool  // the peer is foreign, and that has been said
	wrote  atomic.Bool  // votes were written since the last heartbeat was considered

	isUp bool // guarded by link.mu
}

func newSession(l *link, c network.Conn) *session {
	s := &session{
		link: l, n: l.n, conn: c,
		votes: newVoteQueue(), bulk: newByteQueue(maxQueuedBulkBytes), pace: newPace(),
		up: make(chan struct{}), done: make(chan struct{}),
	}
	s.heard.Store(time.Now().UnixNano())
	return s
}

// end closes the connection, and with it everything that waits on it.
func (s *session) end(why string) {
	s.ended.Do(func() {
		close(s.done)
		s.link.remove(s, why)
		s.n.background(func() { s.conn.Close() })
	})
}

func (s *session) fail(err error) {
	if why, ok := errors.AsType[foreign](err); ok && !s.misfit.Swap(true) {
		s.n.counters.foreign.Add(1)
		s.link.complain("refused", why.Error())
	}
	s.end(err.Error())
}

func (s *session) greet() {
	if s.greeted.Add(1) == int32(2*classes) {
		s.link.announce(s)
	}
}

// write opens this side's stream of a class and writes to it until the session ends.
func (s *session) write(class Class) {
	stream, err := s.openStream(class)
	if err != nil {
		s.fail(fmt.Errorf("opening %s: %w", class, err))
		return
	}
	s.greet()
	if class == Votes {
		err = s.writeVotes(stream)
	} else {
		s.n.background(func() { s.readAcks(stream) })
		err = s.writeBulk(stream)
	}
	if err != nil {
		s.fail(fmt.Errorf("writing %s: %w", class, err))
	}
}

func (s *session) openStream(class Class) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(s.n.ctx, greetTimeout)
	defer cancel()
	stream, err := s.conn.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	stream.SetDeadline(time.Now().Add(greetTimeout))
	if err := stream.SetProtocol(class.protocol()); err != nil {
		return nil, err
	}
	if err := multistream.SelectProtoOrFail(class.protocol(), stream); err != nil {
		return nil, err
	}
	if _, err := stream.Write(hello(class, s.n.cfg.Chain)); err != nil {
		return nil, err
	}
	if err := readHello(stream, class, s.n.cfg.Chain); err != nil {
		return nil, err
	}
	return stream, stream.SetDeadline(time.Time{})
}

// writeVotes gathers what is queued into few writes, and flushes when there is nothing left. It returns
// nil after the farewell: the other side hangs up when it has read everything.
func (s *session) writeVotes(stream network.Stream) error {
	w := bufio.NewWriterSize(stream, 64<<10)
	var batch [][]byte
	var header [frameHeader]byte
	for {
		var beat, closed bool
		batch, beat, closed = s.votes.take(batch[:0])
		if len(batch) > 0 || beat {
			stream.SetWriteDeadline(time.Now().Add(voteTimeout))
			s.wrote.Store(true)
		}
		if len(batch) == 0 && beat {
			w.Write(appendHeader(header[:0], nil))
		}
		for i, frame := range batch {
			w.Write(appendHeader(header[:0], frame))
			if _, err := w.Write(frame); err != nil { // a bufio.Writer's error stays
				return err
			}
			s.n.counters.sent(Votes, len(frame))
			batch[i] = nil
		}
		if len(batch) > 0 {
			continue
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if closed {
			return stream.CloseWrite()
		}
		select {
		case <-s.votes.wake:
		case <-s.done:
			return nil
		}
	}
}

// writeBulk cuts frames into pieces, and writes each when the pace allows.
func (s *session) writeBulk(stream network.Stream) error {
	buf := make([]byte, 0, piece)
	flush := func() error {
		if !s.pace.enter(len(buf), time.Now, s.done) {
			return errors.New("session ended")
		}
		stream.SetWriteDeadline(time.Now().Add(bulkTimeout))
		_, err := stream.Write(buf)
		buf = buf[:0]
		return err
	}
	add := func(b []byte) error {
		for len(b) > 0 {
			n := min(len(b), piece-len(buf))
			buf, b = append(buf, b[:n]...), b[n:]
			if len(buf) == piece {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return nil
	}
	var header [frameHeader]byte
	for {
		frame := s.bulk.pop()
		if frame != nil {
			if err := add(appendHeader(header[:0], frame)); err != nil {
				return err
			}
			if err := add(frame); err != nil {
				return err
			}
			s.n.counters.sent(Bulk, len(frame))
			continue
		}
		if len(buf) > 0 {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		select {
		case <-s.bulk.wake:
		case <-s.done:
			return nil
		}
	}
}

func (s *session) readAcks(stream network.Stream) {
	var ack [ackSize]byte
	for {
		if _, err := io.ReadFull(stream, ack[:]); err != nil {
			s.end("bulk: " + err.Error())
			return
		}
		if err := s.pace.ack(binary.BigEndian.Uint32(ack[:]), time.Now()); err != nil {
			s.end(err.Error())
			return
		}
	}
}

// read serves a stream that the peer has opened, until the session ends. A panic in the handler of a
// frame costs the peer its session, not the process its life.
func (s *session) read(stream network.Stream, class Class) {
	defer func() {
		if p := recover(); p != nil {
			s.n.counters.panics.Add(1)
			s.link.complain("panic while handling its frame", fmt.Sprint(p))
			s.end("panic while handling a frame")
		}
	}()
	s.fail(s.readStream(stream, class))
}

func (s *session) readStream(stream network.Stream, class Class) error {
	stream.SetDeadline(time.Now().Add(greetTimeout))
	misfit := readHello(stream, class, s.n.cfg.Chain)
	if _, err := stream.Write(hello(class, s.n.cfg.Chain)); err != nil && misfit == nil {
		return err
	}
	if misfit != nil {
		select {
		case <-s.done: // the peer has read why, and hung up
		case <-time.After(linger):
		}
		return misfit
	}
	if err := stream.SetDeadline(time.Time{}); err != nil {
		return err
	}
	s.greet()
	select {
	case <-s.up:
	case <-s.done:
		return errors.New("session ended")
	}
	return s.readFrames(stream, class)
}

func (s *session) readFrames(stream network.Stream, class Class) error {
	var source io.Reader = stream
	if class == Bulk {
		source = &acknowledging{stream: stream}
	}
	r := bufio.NewReaderSize(source, 2*piece)
	pressed := false // a read deadline is set
	press := func() error {
		pressed = true
		return stream.SetReadDeadline(time.Now().Add(bulkTimeout))
	}
	for {
		frame, err := readFrame(r, class.maxFrame(), press)
		if err != nil {
			return fmt.Errorf("reading %s: %w", class, err)
		}
		if pressed {
			pressed = false
			stream.SetReadDeadline(time.Time{})
		}
		if class == Votes {
			s.heard.Store(time.Now().UnixNano())
		}
		if frame != nil {
			s.deliver(class, frame)
		}
	}
}

// deliver hands a frame over. The peer's newer session, should there be one, waits for its turn.
func (s *session) deliver(class Class, frame []byte) {
	if class == Votes {
		s.busy.Add(1)
		defer func() {
			s.heard.Store(time.Now().UnixNano())
			s.busy.Add(-1)
		}()
	}
	turn := &s.link.turn[class]
	turn.Lock()
	defer turn.Unlock()
	s.n.counters.received(class, len(frame))
	s.n.cfg.Receive(s.link.index, class, frame)
}

// acknowledging tells the writer, on the way back of its stream, how much has been read.
type acknowledging struct {
	stream network.Stream
	owed   uint32
}

func (a *acknowledging) Read(b []byte) (int, error) {
	n, err := a.stream.Read(b)
	a.owed += uint32(n)
	if a.owed >= piece {
		a.stream.SetWriteDeadline(time.Now().Add(voteTimeout))
		if _, err := a.stream.Write(binary.BigEndian.AppendUint32(nil, a.owed)); err != nil {
			return n, fmt.Errorf("acknowledging: %w", err)
		}
		a.owed = 0
	}
	return n, err
}
