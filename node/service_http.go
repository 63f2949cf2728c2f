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
	// So is one that does not read what it asked for.
	writeTimeout = 10 * time.Second
	// maxWait ends calls whose caller has set no deadline.
	maxWait = time.Minute

	// Calls that wait for a commit, connections, and calls that read blocks or state; in all, and of one address. One
	// address may be a load generator with a thousand clients. A connection takes some 30 KiB even while it says nothing, so
	// that strangers who take all of them take 60 MiB.
	maxWaiting, maxWaitingPerAddress         = 4096, 2048
	maxConnections, maxConnectionsPerAddress = 2048, 1024
	maxReading, maxReadingPerAddress         = 512, 256
	// Listeners stay for as long as they like, so they take no places of those who read.
	maxListening, maxListeningPerAddress = 256, 64
	// Answers of /metrics that are being read.
	maxScrapes, maxScrapesPerAddress = 64, 4
	// A connection of HTTP/2 has so many calls at once, and sends so much ahead: a caller with more calls makes more connections.
	maxStreams, receiveBytes = 256, maxBodyBytes
	// Memory that calls take up until their answers are sent: callBytes each, which has room for a small body. A thousand
	// calls of one address fit. The garbage collector lets as much again gather before it looks.
	maxCallBytes, maxCallBytesPerAddress = 48 << 20, 40 << 20
	callBytes                            = 32 << 10
	// Bodies over smallBody have memory of their own, so that those who fill it keep out nobody whose call is small.
	smallBody                              = 4 << 10
	maxBodyMemory, maxBodyMemoryPerAddress = 24 << 20, 12 << 20

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
	scraping  *gate
	calls     *gate // in bytes
	bodies    *gate // in bytes, over smallBody
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
	descriptors, err := descriptorLimit()
	if err != nil {
		return nil, fmt.Errorf("public service: limit of open files: %w", err)
	}
	connections := connectionsWithin(descriptors)
	l, err := listenGated(listen, newGate(connections, min(connections, maxConnectionsPerAddress)))
	if err != nil {
		return nil, fmt.Errorf("public service: %w", err)
	}
	s := &service{
		backend: b, metrics: m, log: log,
		listener:  l,
		waiting:   newGate(maxWaiting, maxWaitingPerAddress),
		reading:   newGate(maxReading, maxReadingPerAddress),
		listening: newGate(maxListening, maxListeningPerAddress),
		scraping:  newGate(maxScrapes, maxScrapesPerAddress),
		calls:     newGate(maxCallBytes, maxCallBytesPerAddress),
		bodies:    newGate(maxBodyMemory, maxBodyMemoryPerAddress),
		errors:    connect.NewErrorWriter(),
		done:      make(chan struct{}),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.server = &http.Server{
		Handler:   s.handler(writeTimeout),
		Protocols: &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: receiveBytes,
			MaxReceiveBufferPerStream:     receiveBytes,
		},
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

// handler answers calls, of which the caller reads each within the timeout: see timedWriter.
func (s *service) handler(timeout time.Duration) http.Handler {
	return timed(timeout, s.recovered(s.routes()))
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
	mux.Handle(quoratev1connect.NodeServiceSubmitStreamProcedure, s.unbounded(rpc))
	plain := http.NewServeMux()
	plain.HandleFunc("GET /healthz", s.healthz)
	plain.HandleFunc("GET /readyz", s.readyz)
	plain.HandleFunc("GET /status", s.status)
	plain.HandleFunc("GET /block/{seq}", s.block)
	plain.HandleFunc("GET /headers", s.headers)
	plain.HandleFunc("GET /events", s.events)
	plain.HandleFunc("GET /epoch/{number}", s.epoch)
	plain.HandleFunc("GET /changes", s.changes)
	plain.HandleFunc("GET /evidence", s.evidence)
	plain.HandleFunc("GET /tx/{id}", s.transaction)
	plain.HandleFunc("GET /trace/{seq}", s.traced)
	plain.HandleFunc("GET /metrics", s.numbers)
	mux.HandleFunc("POST /change", handIn(s, message.DecodeChange, s.backend.Change))
	mux.HandleFunc("POST /recover", handIn(s, message.DecodeRecovery, s.backend.Recover))
	mux.Handle("/", bodiless(plain))
	return mux
}

var errBody = errors.New("this takes no body")

// bodiless refuses calls that announce a body. Nobody would read it; but the server waits for the rest of a body before
// it takes the connection's next call, for as long as a slow caller likes.
func bodiless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // no deadline can be set only where none is needed
			w.Header().Set("Connection", "close")
			plainError(w, refuse(reason.BadParameters, errBody))
			return
		}
		next.ServeHTTP(w, r)
	})
}

var errManyBytes = errors.New("too many bytes of calls at once: retry later, or elsewhere")

// bounded reads a call's body whole, within bodyTimeout, before anybody works on it. (A ReadTimeout of the server
// would also end calls that merely wait for their answer.) The call has its place until its answer is sent: one who
// never reads, on as many streams as he likes, fills no memory.
func (s *service) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		place, ok := s.calls.take(r.RemoteAddr, callBytes)
		if !ok {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // nobody reads the rest
			s.refuseCall(w, r, refuse(reason.TooManyWaiting, errManyBytes))
			return
		}
		defer place.leave()
		if p := r.URL.Path; p != quoratev1connect.NodeServiceSubmitProcedure && p != quoratev1connect.NodeServiceWatchProcedure {
			leave, e := s.read(r.RemoteAddr)
			if e != nil {
				_ = http.NewResponseController(w).SetReadDeadline(time.Now())
				s.refuseCall(w, r, e)
				return
			}
			defer leave()
		}
		body, leave, e := s.body(w, r)
		if e != nil {
			s.refuseCall(w, r, e)
			return
		}
		defer leave()
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// body reads a call's body whole, within bodyTimeout. leave gives its memory back.
func (s *service) body(w http.ResponseWriter, r *http.Request) (body []byte, leave func(), e *reason.Error) {
	// A connection on which no deadline can be set is not one of net/http's, and bounds itself.
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(bodyTimeout))
	in := http.MaxBytesReader(w, r.Body, maxBodyBytes)
	leave = func() {}
	body, err := io.ReadAll(io.LimitReader(in, smallBody+1))
	if err == nil && len(body) > smallBody {
		size := int64(maxBodyBytes)
		if r.ContentLength >= 0 {
			size = min(size, r.ContentLength)
		}
		place, ok := s.bodies.take(r.RemoteAddr, int(size))
		if !ok {
			_ = deadlines.SetReadDeadline(time.Now()) // nobody reads the rest
			return nil, nil, refuse(reason.TooManyWaiting, errManyBytes)
		}
		leave = place.leave
		if body, err = io.ReadAll(io.MultiReader(bytes.NewReader(body), in)); err == nil {
			place.shrink(len(body))
		}
	}
	if err != nil {
		leave()
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, nil, refuse(reason.TooLarge, fmt.Errorf("call is larger than %d bytes", maxBodyBytes))
		}
		return nil, nil, refuse(reason.BadParameters, fmt.Errorf("call was cut short: %w", err))
	}
	_ = deadlines.SetReadDeadline(time.Time{})
	return body, leave, nil
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
