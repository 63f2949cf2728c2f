package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/testnet/adversary"
)

// Request is one thing that a node is told; exactly one field is there. In JSON durations are in ns.
type Request struct {
	Link   *LinkRequest   `json:"link,omitempty"`
	Disk   *DiskRequest   `json:"disk,omitempty"`
	Clock  *ClockRequest  `json:"clock,omitempty"`
	Behave *BehaveRequest `json:"behave,omitempty"`
	Strike *StrikeRequest `json:"strike,omitempty"`
	Counts *CountsRequest `json:"counts,omitempty"`
}

// LinkRequest is SetLink.
type LinkRequest struct {
	From epoch.ReplicaID `json:"from"`
	Seed uint64          `json:"seed"`
	Link
}

// DiskRequest is what goes wrong with the disk; what is not there stays as it is.
type DiskRequest struct {
	HoldBack bool           `json:"hold_back,omitempty"`
	Fill     *int64         `json:"fill,omitempty"` // bytes
	FailSync bool           `json:"fail_sync,omitempty"`
	Slow     *time.Duration `json:"slow,omitempty"` // 0: no more
}

// ClockRequest is SetClock.
type ClockRequest struct {
	Offset time.Duration `json:"offset"`
}

// BehaveRequest is Behave, with the names of the acts.
type BehaveRequest struct {
	Acts  []string `json:"acts"`
	Every int      `json:"every,omitempty"`
	Seed  uint64   `json:"seed"`
}

// StrikeRequest is Disk.Strike.
type StrikeRequest struct {
	Tear     bool          `json:"tear,omitempty"`
	Patience time.Duration `json:"patience"`
}

// CountsRequest is Counts.
type CountsRequest struct{}

// Answer is what came of a request.
type Answer struct {
	Error  string  `json:"error,omitempty"`
	Struck *Struck `json:"struck,omitempty"`
	Counts *Counts `json:"counts,omitempty"`
}

// maxPatience bounds how long a node waits before it is struck.
const maxPatience = 10 * time.Second

// Do carries out a request.
func (f *Faults) Do(r Request) (Answer, error) {
	if n := r.parts(); n != 1 {
		return Answer{}, fmt.Errorf("request with %d of link, disk, clock, behave, strike, counts: want one", n)
	}
	switch {
	case r.Link != nil:
		return Answer{}, f.SetLink(r.Link.From, r.Link.Link, r.Link.Seed)
	case r.Disk != nil:
		return Answer{}, f.ail(r.Disk)
	case r.Clock != nil:
		f.SetClock(r.Clock.Offset)
		return Answer{}, nil
	case r.Behave != nil:
		return Answer{}, f.behave(r.Behave)
	case r.Strike != nil:
		if r.Strike.Patience < 0 || r.Strike.Patience > maxPatience {
			return Answer{}, fmt.Errorf("strike: patience %v, want 0 to %v", r.Strike.Patience, maxPatience)
		}
		s, err := f.disk.Strike(r.Strike.Tear, r.Strike.Patience)
		return Answer{Struck: &s}, err
	default:
		c := f.Counts()
		return Answer{Counts: &c}, nil
	}
}

func (r *Request) parts() (n int) {
	for _, there := range []bool{r.Link != nil, r.Disk != nil, r.Clock != nil, r.Behave != nil, r.Strike != nil, r.Counts != nil} {
		if there {
			n++
		}
	}
	return n
}

// ail has the disk go wrong, if all of the request makes sense.
func (f *Faults) ail(r *DiskRequest) error {
	switch {
	case *r == DiskRequest{}:
		return errors.New("disk: nothing is to go wrong")
	case r.Fill != nil && *r.Fill < 0:
		return fmt.Errorf("disk: room for %d bytes", *r.Fill)
	case r.Slow != nil && *r.Slow < 0:
		return fmt.Errorf("disk: slower by %v", *r.Slow)
	}
	if r.HoldBack {
		f.disk.HoldBack()
	}
	if r.Fill != nil {
		f.disk.Fill(*r.Fill)
	}
	if r.FailSync {
		f.disk.FailSync()
	}
	if r.Slow != nil {
		f.disk.Slow(*r.Slow)
	}
	return nil
}

func (f *Faults) behave(r *BehaveRequest) error {
	if r.Every < 0 {
		return fmt.Errorf("behave: every %d, want 0 or more", r.Every)
	}
	acts, err := ActsOf(r.Acts)
	if err != nil {
		return fmt.Errorf("behave: %w", err)
	}
	f.Behave(acts, r.Every, r.Seed)
	return nil
}

// ActsOf are the acts of these names.
func ActsOf(names []string) (acts []adversary.Act, err error) {
	for _, name := range names {
		a, err := adversary.ActOf(name)
		if err != nil {
			return nil, err
		}
		acts = append(acts, a)
	}
	return acts, nil
}

// decode reads one request, and nothing that no request has.
func decode(line []byte) (r Request, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Request{}, fmt.Errorf("request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("request: more behind it")
	}
	return r, nil
}

// What is in force when a node is started again must be in force before it hears or says anything. So whoever starts it leaves the
// requests in a file of its home, one a line.

func firstFile(home string) string { return filepath.Join(home, "faults.json") }

// Leave has a node begin with these requests whenever it is started, instead of any that were left before.
func Leave(home string, requests []Request) error {
	var text []byte
	for _, r := range requests {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	return os.WriteFile(firstFile(home), text, 0o600)
}

// Begin carries out what was left in a node's home, if anything was. Counts that were kept there are no longer.
func (f *Faults) Begin(home string) error {
	if err := os.Remove(countsFile(home)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	text, err := os.ReadFile(firstFile(home))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		r, err := decode(line)
		if err == nil {
			_, err = f.Do(r)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", firstFile(home), n, err)
		}
	}
	return nil
}
