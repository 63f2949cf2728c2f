package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// nonces hands out each nonce of a key once, from a file beside the key: locked, and synced before a nonce is used.
//
// A key that was used elsewhere, or whose file is gone, gets nonces that are spent already or behind the network's
// window. The network says so, and search then finds the way.
type nonces string

// noncesOf is the file beside a key's.
func noncesOf(keyFile string) nonces { return nonces(strings.TrimSuffix(keyFile, ".json") + ".nonce") }

// next is a nonce that was never handed out.
func (n nonces) next() (uint64, error) {
	return n.update(func(last uint64) (uint64, error) {
		if last == 1<<64-1 {
			return 0, errors.New("all nonces are used")
		}
		return last + 1, nil
	})
}

// goOn has next continue behind nonce.
func (n nonces) goOn(nonce uint64) error {
	_, err := n.update(func(uint64) (uint64, error) { return nonce, nil })
	return err
}

// nonceDigits is the length of the greatest nonce: the file never changes its size.
const nonceDigits = 20

func (n nonces) update(change func(last uint64) (uint64, error)) (nonce uint64, err error) {
	f, err := os.OpenFile(string(n), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close() // lets the lock go
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return 0, fmt.Errorf("lock %s: %w", string(n), err)
	}
	text, err := io.ReadAll(io.LimitReader(f, 2*nonceDigits))
	if err != nil {
		return 0, err
	}
	last := uint64(0)
	if len(text) > 0 {
		if last, err = strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64); err != nil {
			return 0, fmt.Errorf("%s holds no number: remove it, and the network will be asked", string(n))
		}
	}
	if nonce, err = change(last); err != nil {
		return 0, fmt.Errorf("%s: %w", string(n), err)
	}
	if _, err := f.WriteAt(fmt.Appendf(nil, "%0*d\n", nonceDigits, nonce), 0); err != nil {
		return 0, err
	}
	return nonce, f.Sync()
}

// search finds a nonce that a network takes, from its refusals: one that is used or behind the window is too low, one
// beyond the window too high. A step of the window from a used one is never too high.
type search struct {
	low, high uint64 // known to be too low, and too high; high 0: none
	step      uint64
}

func newSearch(window uint64) *search { return &search{step: window} }

// tooLow takes a refusal and names the next nonce to try; ok is false if there is none.
func (s *search) tooLow(nonce uint64) (next uint64, ok bool) {
	s.low = max(s.low, nonce)
	if s.high == 0 {
		next = s.low + s.step
		s.step *= 2
		return next, next > s.low
	}
	return s.between()
}

// tooHigh does the same.
func (s *search) tooHigh(nonce uint64) (next uint64, ok bool) {
	if s.high == 0 || nonce < s.high {
		s.high = nonce
	}
	return s.between()
}

func (s *search) between() (next uint64, ok bool) {
	if s.high <= s.low+1 {
		return 0, false
	}
	return s.low + (s.high-s.low)/2, true
}
