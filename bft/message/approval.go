package message

import (
	"bytes"
	"errors"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// Approval is an operator's signature under a change or a recovery.
type Approval struct {
	Key       crypto.PublicKey
	Signature crypto.Signature
}

// approve adds an operator's signature to those that are there, in ascending order of the keys.
func approve(list []Approval, s crypto.Scheme, key crypto.PrivateKey, signed []byte) []Approval {
	a := Approval{key.Public(), s.Sign(key, signed)}
	i := 0
	for i < len(list) && bytes.Compare(list[i].Key[:], a.Key[:]) < 0 {
		i++
	}
	if i < len(list) && list[i].Key == a.Key {
		return list
	}
	return append(list[:i:i], append([]Approval{a}, list[i:]...)...)
}

func writeApprovals(w *Writer, list []Approval) {
	w.U32(uint32(len(list)))
	for i := range list {
		w.Fixed(list[i].Key[:])
		w.Fixed(list[i].Signature[:])
	}
}

var errOperators = errors.New("operators not in ascending order of their keys")

func readApprovals(r *Reader) (list []Approval) {
	for range r.Count(epoch.MaxOperators, 32+crypto.SignatureSize) {
		var a Approval
		r.Fixed(a.Key[:])
		r.Fixed(a.Signature[:])
		if n := len(list); n > 0 && bytes.Compare(list[n-1].Key[:], a.Key[:]) >= 0 {
			r.Fail(errOperators)
			return nil
		}
		list = append(list, a)
	}
	return list
}
