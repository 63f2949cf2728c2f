package host

import (
	"errors"

	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/store"
)

// Duplicate makes a log in to that tells all that the one in copied does, and does not know that it is not the log that its member
// speaks from: a twin speaks from it. It is for test networks. copied is a copy of a log's files; it is opened, and mended where it is
// torn.
func Duplicate(fs store.FS, copied, to string, o store.Options) (err error) {
	var out *store.Log
	var group []store.Record
	bytes, restart := 0, false
	flush := func() error {
		_, err := out.Append(group, restart)
		group, bytes, restart = nil, 0, false
		return err
	}
	from, _, err := store.Open(fs, copied, o, func(_ store.Position, r store.Record, _ bool) error {
		if out == nil { // the birth record
			if err := store.Create(fs, to, r, o); err != nil {
				return err
			}
			var err error
			out, _, err = store.Open(fs, to, o, func(store.Position, store.Record, bool) error { return nil })
			return err
		}
		isBase := ordering.RecordKind(r.Kind) == ordering.KindBase
		if isBase || bytes >= duplicateBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		restart = restart || isBase
		group, bytes = append(group, r), bytes+len(r.Payload)
		return nil
	})
	if out != nil {
		defer func() { err = errors.Join(err, out.Close()) }()
	}
	if err != nil {
		return err
	}
	if err := from.Close(); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	return out.Sync()
}

// duplicateBytes is how much is written at a time.
const duplicateBytes = 1 << 20
