package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"

	"github.com/quorate/quorate/api/quorate/v1/quoratev1connect"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/message"
)

// What the public service allows to anyone who can reach it. These are local: they bind no other node.
const (
	// maxBodyBytes fits the largest transaction there can be in JSON, where it grows by a third.
	maxBodyBytes   = 2 * message.MaxRequestBytes
	maxHeaderBytes = 16 << 10
	// A connection that is silent, or slow to say what it wants, is given up.
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// maxWait ends calls whose caller has set no deadline.
	maxWait = time.Minute

	// Calls that wait for a commit, connections, and calls that read blocks or state; in all, and of one address. One
	// address may be a load generator with a thousand clients.
	maxWaiting, maxWaitingPerAddress         = 4096, 2048
	maxConnections, maxConnectionsPerAddress = 8192, 4096
	maxReading, maxReadingPerAddress         = 512, 256
	// Listeners to events. They stay, so they have places of their own, and take none from those who read.
	maxListening, maxListeningPerAddress = 256, 64

	// compressBytes is from which size answers are compressed, for callers who ask: digests and signatures do not shrink.
	compressBytes = 64 << 10
)

// service is the node's public face: the Connect service and the plain GET answers, on one port.
type service struct {
	backend   backend
	metrics   *metrics
	log       *slog.Logger
	listener  net.Listener
	server    *http.Server
	waiting   *gate
	reading   *gate
	listening *gate
	errors    *connect.ErrorWriter

	ending context.Context // ends when stop begins: nobody waits any longer
	end    context.CancelFunc
	done   chan struct{} // closed when nothing is served any more
}

var _ quoratev1connect.NodeServiceHandler = (*service)(nil)

// newService listens on host:port, without serving yet; empty is what the epoch says of this node.
func newService(b backend, listen string, m *metrics, log *slog.Logger) (*service, error) {
	if listen == "" {
		listen = b.Epoch().Member(b.Status().Node).API
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("public service: %w", err)
	}
	s := &service{
		backend: b, metrics: m, log: log,
		listener:  &gatedListener{l, newGate(maxConnections, maxConnectionsPerAddress)},
		waiting:   newGate(maxWaiting, maxWaitingPerAddress),
		reading:   newGate(maxReading, maxReadingPerAddress),
		listening: newGate(maxListening, maxListeningPerAddress),
		errors:    connect.NewErrorWriter(),
		done:      make(chan struct{}),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.server = &http.Server{
		Handler:           s.recovered(s.routes()),
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxWaitingPerAddress},
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// addr is where the service listens, host:port.
func (s *service) addr() string { return s.listener.Addr().String() }

// start serves until stop; failed is told if serving ends by itself.
func (s *service) start(failed func(error)) {
	go func() {
		defer close(s.done)
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			failed(fmt.Errorf("public service: %w", err))
		}
	}()
}

// stop ends the service. Calls that wait for a commit end with an unknown outcome; the others may finish until ctx
// ends, and are cut off then.
func (s *service) stop(ctx context.Context) error {
	s.end()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	<-s.done
	return err
}

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	path, rpc := quoratev1connect.NewNodeServiceHandler(s,
		connect.WithReadMaxBytes(maxBodyBytes),
		withBoundedGzip(),
		connect.WithCompressMinBytes(compressBytes),
		connect.WithRecover(func(_ context.Context, call connect.Spec, _ http.Header, p any) error {
			s.panicked(call.Procedure, p)
			return refuse(reason.Internal, errInternal).Connect()
		}))
	mux.Handle(path, s.bounded(rpc))
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /block/{seq}", s.block)
	mux.HandleFunc("GET /headers", s.headers)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /epoch/{number}", s.epoch)
	mux.HandleFunc("GET /evidence", s.evidence)
	mux.HandleFunc("GET /tx/{id}", s.transaction)
	mux.HandleFunc("GET /trace/{seq}", s.traced)
	mux.Handle("GET /metrics", s.metrics.handler())
	return mux
}

// bounded reads a call's body whole, within bodyTimeout, before anybody works on it. (A ReadTimeout of the server
// would also end calls that merely wait for their answer.)
func (s *service) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A connection on which no deadline can be set is not one of net/http's, and bounds itself.
		deadlines := http.NewResponseController(w)
		_ = deadlines.SetReadDeadline(time.Now().Add(bodyTimeout))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
		_ = deadlines.SetReadDeadline(time.Time{})
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			s.refuseCall(w, r, refuse(reason.TooLarge, fmt.Errorf("call is larger than %d bytes", maxBodyBytes)))
			return
		case err != nil:
			s.refuseCall(w, r, refuse(reason.BadParameters, fmt.Errorf("call was cut short: %w", err)))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// refuseCall answers a call, in its protocol, that does not reach its handler.
func (s *service) refuseCall(w http.ResponseWriter, r *http.Request, e *reason.Error) {
	if !s.errors.IsSupported(r) {
		plainError(w, e)
		return
	}
	if err := s.errors.Write(w, r, e.Connect()); err != nil {
		s.log.Debug("caller is gone", "error", err)
	}
}

var errInternal = errors.New("this node could not answer: see its log")

// recovered keeps a defect in one answer from ending the node.
func (s *service) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				s.panicked(r.URL.Path, p)
				plainError(w, refuse(reason.Internal, errInternal))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (s *service) panicked(where string, p any) {
	s.metrics.panics.Inc()
	s.log.Error("panic in the public service", "where", where, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
