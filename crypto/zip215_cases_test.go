package crypto

import (
	"crypto/sha512"
	"fmt"
	"math/big"

	"filippo.io/edwards25519"
)

// A judged is a claim whose verdict follows from the arithmetic of ZIP 215, not from any library.
type judged struct {
	name  string
	claim Claim
	holds bool
}

// groupOrder is L of RFC 8032 §5.1, the order of the base point.
var groupOrder, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

// torsionPoints are the eight points whose order divides the cofactor.
func torsionPoints() []*edwards25519.Point {
	minusOne := edwards25519.NewScalar().Subtract(edwards25519.NewScalar(), scalarOf(1)) // L − 1
	four := func(p *edwards25519.Point) *edwards25519.Point {
		q := new(edwards25519.Point).Add(p, p)
		return q.Add(q, q)
	}
	for y := byte(2); ; y++ {
		p, err := new(edwards25519.Point).SetBytes(append([]byte{y}, make([]byte, 31)...))
		if err != nil {
			continue
		}
		// [L]P has lost the part of P in the large subgroup; what remains is of order 8 for every second P.
		g := new(edwards25519.Point).ScalarMult(minusOne, p)
		g.Add(g, p)
		if four(g).Equal(edwards25519.NewIdentityPoint()) == 1 {
			continue
		}
		points := []*edwards25519.Point{edwards25519.NewIdentityPoint()}
		for len(points) < 8 {
			points = append(points, new(edwards25519.Point).Add(points[len(points)-1], g))
		}
		return points
	}
}

// encodings are all the 32 bytes that ZIP 215 reads as p: y or, if it fits in 255 bits, y + 2^255 − 19, and for x = 0 either
// sign. The canonical one is the first.
func encodings(p *edwards25519.Point) [][32]byte {
	canonical := [32]byte(p.Bytes())
	all := [][32]byte{canonical}
	y := canonical
	y[31] &= 0x7f
	if y[0] < 19 && [31]byte(y[1:]) == [31]byte{} {
		larger := [32]byte{0: 0xed + y[0], 31: canonical[31] | 0x7f}
		for i := 1; i < 31; i++ {
			larger[i] = 0xff
		}
		all = append(all, larger)
	}
	if new(edwards25519.Point).Negate(p).Equal(p) == 1 { // x = 0
		for _, e := range all {
			e[31] ^= 0x80
			all = append(all, e)
		}
	}
	return all
}

func smallOrderEncodings() [][32]byte {
	var all [][32]byte
	for _, p := range torsionPoints() {
		all = append(all, encodings(p)...)
	}
	return all
}

func scalarOf(n uint64) *edwards25519.Scalar {
	var b [32]byte
	for i := range 8 {
		b[i] = byte(n >> (8 * i))
	}
	s, err := edwards25519.NewScalar().SetCanonicalBytes(b[:])
	if err != nil {
		panic(err)
	}
	return s
}

func hashToScalar(parts ...[]byte) *edwards25519.Scalar {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	s, err := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	if err != nil {
		panic(err)
	}
	return s
}

// signAs makes the S of a claim whose key and R are encoded as given, and are a·B and r·B but for a torsion part.
func signAs(key, r [32]byte, a, nonce *edwards25519.Scalar, message []byte) Claim {
	s := edwards25519.NewScalar().MultiplyAdd(hashToScalar(r[:], key[:], message), a, nonce)
	c := Claim{Key: key, Message: message}
	copy(c.Signature[:], r[:])
	copy(c.Signature[32:], s.Bytes())
	return c
}

// plusOrder adds L to the S of a signature, which changes nothing in the equation.
func plusOrder(sig Signature) Signature {
	reverse := func(b []byte) []byte {
		r := make([]byte, len(b))
		for i := range b {
			r[len(b)-1-i] = b[i]
		}
		return r
	}
	s := new(big.Int).SetBytes(reverse(sig[32:]))
	copy(sig[32:], reverse(s.Add(s, groupOrder).FillBytes(make([]byte, 32))))
	return sig
}

// gridCases are the 14 × 14 encodings of points of small order as A and R, with S = 0: the cofactor makes all of them
// the identity, so all hold (https://hdevalence.ca/blog/2020-10-04-its-25519am).
func gridCases() []judged {
	var cases []judged
	small := smallOrderEncodings()
	for i, a := range small {
		for j, r := range small {
			c := Claim{Key: a, Message: []byte("Quorate")}
			copy(c.Signature[:], r[:])
			cases = append(cases, judged{fmt.Sprintf("small A %d, small R %d", i, j), c, true})
		}
	}
	return cases
}

func craftedCases() []judged {
	var cases []judged
	add := func(holds bool, c Claim, format string, args ...any) {
		cases = append(cases, judged{fmt.Sprintf(format, args...), c, holds})
	}
	message := []byte("Quorate")
	a, r := hashToScalar([]byte("a")), hashToScalar([]byte("r"))
	bigA := new(edwards25519.Point).ScalarBaseMult(a)
	bigR := new(edwards25519.Point).ScalarBaseMult(r)
	honestA, honestR := [32]byte(bigA.Bytes()), [32]byte(bigR.Bytes())
	zero := edwards25519.NewScalar()

	for i, t := range torsionPoints() {
		for j, u := range torsionPoints() {
			mixedA := [32]byte(new(edwards25519.Point).Add(bigA, t).Bytes())
			mixedR := [32]byte(new(edwards25519.Point).Add(bigR, u).Bytes())
			c := signAs(mixedA, mixedR, a, r, message)
			add(true, c, "A + torsion %d, R + torsion %d", i, j)
		}
	}
	for i, e := range smallOrderEncodings() {
		add(true, signAs(honestA, e, a, zero, message), "honest A, small R %d", i)
		add(true, signAs(e, honestR, zero, r, message), "small A %d, honest R", i)
	}

	honest := signAs(honestA, honestR, a, r, message)
	altered := func(alter func(*Claim)) Claim {
		c := honest
		alter(&c)
		return c
	}
	add(false, altered(func(c *Claim) { c.Signature = plusOrder(c.Signature) }), "S + L")
	add(false, altered(func(c *Claim) { c.Signature[63] |= 0x80 }), "S with its highest bit set")
	add(false, altered(func(c *Claim) { c.Signature[63] |= 0x20 }), "S with bit 253 set")
	add(false, altered(func(c *Claim) { c.Message = []byte("quorate") }), "another message")
	add(false, altered(func(c *Claim) { c.Message = nil }), "no message")
	add(false, altered(func(c *Claim) { c.Signature[32] ^= 1 }), "another S")
	add(false, altered(func(c *Claim) { c.Signature = Signature{} }), "no signature")
	add(false, altered(func(c *Claim) { c.Key[31] ^= 0x80 }), "−A")
	add(false, altered(func(c *Claim) { c.Signature[31] ^= 0x80 }), "−R")
	noPoint := [32]byte{2} // y = 2 has no x on the curve
	add(false, altered(func(c *Claim) { c.Key = noPoint }), "A is no point")
	add(false, altered(func(c *Claim) { copy(c.Signature[:], noPoint[:]) }), "R is no point")
	for i, e := range smallOrderEncodings() {
		c := Claim{Key: e, Message: message}
		copy(c.Signature[:], e[:])
		c.Signature = plusOrder(c.Signature)
		add(false, c, "small A and R %d, S = L", i)
	}
	return cases
}
