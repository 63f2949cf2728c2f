package host

import (
	"io"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/store"
)

// Inspected is what the log of a stopped member holds of decided slots.
type Inspected struct {
	*Blocks
	Past []bft.Past // the epochs that are over, from the first one on
	io.Closer
}

// Inspect opens the log of a stopped member for whoever wants to look at it from outside. As at any start, the torn tail of a crash is
// cut. The member cannot start before the log is closed.
func Inspect(fs store.FS, dir string, o store.Options) (*Inspected, error) {
	w := &Writer{blocks: &store.Blocks{}, bodies: make(map[crypto.Digest]store.Position), epochs: make(map[crypto.Digest]*epoch.Epoch)}
	b := &boot{w: w}
	log, _, err := store.Open(fs, dir, o, func(at store.Position, r store.Record, live bool) error {
		if err := b.visit(at, r, live); err != nil {
			return err
		}
		b.past = nil // facts, of which nobody speaks here
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Inspected{&Blocks{log: log, index: w.blocks}, b.history(), log}, nil
}
