package fault

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxLine bounds a request, in bytes.
const maxLine = 64 << 10

// Server takes requests through the socket in a node's home: one a line, each with an answer of one line.
type Server struct {
	faults   *Faults
	home     string
	listener *net.UnixListener
	running  sync.WaitGroup

	mu   sync.Mutex
	shut bool
	open map[net.Conn]struct{}
}

// Serve takes requests until the server is closed.
func Serve(home string, f *Faults) (*Server, error) {
	l, err := listen(home)
	if err != nil {
		return nil, err
	}
	f.home.Store(&home)
	s := &Server{faults: f, home: home, listener: l, open: make(map[net.Conn]struct{})}
	s.running.Go(s.accept)
	return s, nil
}

// Close ends all calls, and takes the socket away.
func (s *Server) Close() error {
	s.mu.Lock()
	s.shut = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	err := errors.Join(os.Remove(filepath.Join(s.home, socketName)), s.listener.Close())
	s.running.Wait()
	return err
}

// acceptPause is how long the server waits when it cannot take a call.
const acceptPause = 20 * time.Millisecond

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // there are no descriptors left, perhaps: a faulty node must go on taking requests
			time.Sleep(acceptPause)
			continue
		}
		s.mu.Lock()
		if s.shut {
			c.Close()
		} else {
			s.open[c] = struct{}{}
			s.running.Go(func() { s.serve(c) })
		}
		s.mu.Unlock()
	}
}

func (s *Server) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, c)
	}()
	in, out := bufio.NewReaderSize(c, maxLine), json.NewEncoder(c)
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			_ = out.Encode(Answer{Error: "a request of more than 64 KiB"}) // nobody who sends that waits for it
			return
		}
		if err != nil {
			return
		}
		if out.Encode(s.answer(line)) != nil {
			return
		}
	}
}

func (s *Server) answer(line []byte) Answer {
	r, err := decode(line)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	a, err := s.faults.Do(r)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	return a
}
