package p2p

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	dialTimeout      = 3 * time.Second
	handshakeTimeout = 3 * time.Second
)

// newHost is a libp2p host with nothing in it but TCP, Noise and yamux: no relay, no NAT probing, no
// discovery. It listens when it returns.
func newHost(key crypto.PrivKey, listen ma.Multiaddr, g *gate, members int, reg prometheus.Registerer) (host.Host, error) {
	limits, err := limitsFor(members)
	if err != nil {
		return nil, err
	}
	newTCP := func(rm network.ResourceManager) (*tcp.TcpTransport, error) {
		up, err := newUpgrader(key, rm, g)
		if err != nil {
			return nil, err
		}
		// Without DisableReuseport two processes could listen on one port, and a restarted node would
		// dial from a port on which its former connection may still linger.
		return tcp.NewTCPTransport(up, rm, nil, tcp.DisableReuseport(), tcp.WithConnectionTimeout(dialTimeout))
	}
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.NoListenAddrs,
		libp2p.Transport(newTCP),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ConnectionGater(g),
		libp2p.ResourceManager(limits),
		libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return []ma.Multiaddr{listen} }),
		libp2p.WithDialTimeout(dialTimeout),
		libp2p.UserAgent("quorate"),
		libp2p.DisableRelay(),
		libp2p.Ping(false),
		libp2p.ForceReachabilityPublic(), // otherwise AutoNAT probes
		libp2p.DisableIdentifyAddressDiscovery(),
	}
	if reg != nil {
		opts = append(opts, libp2p.PrometheusRegisterer(reg))
	} else {
		opts = append(opts, libp2p.DisableMetrics())
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		limits.Close()
		return nil, err
	}
	// Not an option of New: when that fails to listen, it leaves goroutines behind.
	if err := h.Network().Listen(listen); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// newUpgrader is libp2p's, but for a shorter handshake and a bound on how many are under way.
func newUpgrader(key crypto.PrivKey, rm network.ResourceManager, g *gate) (transport.Upgrader, error) {
	mux := *yamux.DefaultTransport
	mux.EnableKeepAlive = false // every 30 s is too late to be of use: the sessions have their own
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: &mux}}
	security, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return nil, err
	}
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, rm, connmgr.ConnectionGater(g),
		upgrader.WithAcceptTimeout(handshakeTimeout))
	if err != nil {
		return nil, err
	}
	return boundedUpgrader{up}, nil
}

type boundedUpgrader struct{ transport.Upgrader }

func (u boundedUpgrader) GateMaListener(l manet.Listener) transport.GatedMaListener {
	return &handshakeListener{GatedMaListener: u.Upgrader.GateMaListener(l)}
}

// limitsFor bounds what libp2p may hold. Admission is not its business: it does not know members from
// strangers, so its limits per address, which would hit several members behind one address and leave
// loopback open, are off; handshakes are bounded by handshakeListener, connections by the gate.
func limitsFor(members int) (network.ResourceManager, error) {
	const streamsPerPeer = 64 // half of them inbound; a session has six or seven
	conns := rcmgr.LimitVal(2*sessionsPerPeer*members + 2*maxHandshakes)
	streams := rcmgr.LimitVal(streamsPerPeer * (members + 1)) // so that no peer can use up another's
	limited := func(memory int) rcmgr.ResourceLimits {
		return rcmgr.ResourceLimits{
			Conns: conns, ConnsInbound: conns, ConnsOutbound: conns, FD: conns,
			Streams: streams, StreamsInbound: streams, StreamsOutbound: streams,
			Memory: rcmgr.LimitVal64(memory),
		}
	}
	partial := rcmgr.PartialLimitConfig{
		System:    limited((64 + 32*members) << 20),
		Transient: limited((32 + 4*members) << 20),
		PeerDefault: rcmgr.ResourceLimits{
			Conns: 8, ConnsInbound: 8, ConnsOutbound: 8, FD: 8,
			Streams: streamsPerPeer, StreamsInbound: streamsPerPeer / 2, StreamsOutbound: streamsPerPeer / 2,
			Memory: 32 << 20,
		},
	}
	rm, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(partial.Build(rcmgr.InfiniteLimits)),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithConnRateLimiters(&rate.Limiter{}),
		rcmgr.WithLimitPerSubnet([]rcmgr.ConnLimitPerSubnet{}, []rcmgr.ConnLimitPerSubnet{}))
	if err != nil {
		return nil, fmt.Errorf("resource limits: %w", err)
	}
	return rm, nil
}
