package p2p

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// PeerID is the libp2p id of the ed25519 key with this seed, as text.
func PeerID(seed [32]byte) string {
	_, id, err := identity(seed)
	if err != nil {
		panic(err) // every seed has a key, and every key an id
	}
	return id.String()
}

func identity(seed [32]byte) (crypto.PrivKey, peer.ID, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		return nil, "", err
	}
	id, err := peer.IDFromPrivateKey(key)
	return key, id, err
}

// peerID reads an id and insists on ed25519: an id of another kind is only a hash of its key, or names
// a key whose signatures are slow to check.
func peerID(text string) (peer.ID, error) {
	id, err := peer.Decode(text)
	if err != nil {
		return "", fmt.Errorf("libp2p id %q: %w", text, err)
	}
	if !isEd25519(id) {
		return "", fmt.Errorf("libp2p id %s is not of an ed25519 key", text)
	}
	return id, nil
}

func isEd25519(id peer.ID) bool {
	key, err := id.ExtractPublicKey()
	return err == nil && key.Type() == pb.KeyType_Ed25519
}

// multiaddr turns "host:port" into libp2p's notation, and lets a TCP multiaddr through.
func multiaddr(address string) (ma.Multiaddr, error) {
	if strings.HasPrefix(address, "/") {
		a, err := ma.NewMultiaddr(address)
		if err != nil {
			return nil, err
		}
		if _, err := a.ValueForProtocol(ma.P_TCP); err != nil {
			return nil, fmt.Errorf("%s has no TCP port", address)
		}
		return a, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	kind := "dns"
	if ip, err := netip.ParseAddr(host); err == nil {
		kind = "ip4"
		if ip.Is6() {
			kind = "ip6"
		}
	}
	return ma.NewMultiaddr("/" + kind + "/" + host + "/tcp/" + port)
}

func hostPort(a ma.Multiaddr) (string, error) {
	addr, err := manet.ToNetAddr(a)
	if err != nil {
		return "", err
	}
	return addr.String(), nil
}
