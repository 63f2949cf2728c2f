package statemachine

import (
	"strings"

	"github.com/tidwall/btree"
)

// overlay holds what executed batches have written and the backing does not have yet, above one snapshot of it.
type overlay struct {
	application btree.Map[string, entry] // by the application's key
	own         map[string]entry         // by the backing's key; nobody scans these
}

// entry is the newest write to a key.
type entry struct {
	value   []byte
	deleted bool
	seq     uint64 // of the batch that made it
}

// forget drops what batches up to seq have written to these keys of the backing.
func (o *overlay) forget(writes []Write, seq uint64) {
	for _, w := range writes {
		if w.Key[0] == spaceApplication {
			if e, ok := o.application.Get(string(w.Key[1:])); ok && e.seq <= seq {
				o.application.Delete(string(w.Key[1:]))
			}
		} else if e, ok := o.own[string(w.Key)]; ok && e.seq <= seq {
			delete(o.own, string(w.Key))
		}
	}
}

// scanFunc calls f for keys in ascending order until f returns false.
type scanFunc func(f func(key string, value []byte) bool) error

// scanOver scans the keys in upper with a prefix and not below from, and those of below that upper says nothing of.
func scanOver(upper *btree.Map[string, entry], prefix, from string, below scanFunc) scanFunc {
	return func(f func(key string, value []byte) bool) error {
		it := upper.Iter()
		more := it.Seek(max(prefix, from))
		stopped := false
		emit := func(key string, value []byte) bool {
			stopped = stopped || !f(key, value)
			return !stopped
		}
		// emitUpper passes on upper's keys before end (all if end is empty), and says whether to go on.
		emitUpper := func(end string) bool {
			for more && strings.HasPrefix(it.Key(), prefix) && (end == "" || it.Key() < end) {
				key, e := it.Key(), it.Value()
				more = it.Next()
				if !e.deleted && !emit(key, e.value) {
					return false
				}
			}
			return true
		}
		err := below(func(key string, value []byte) bool {
			if key != "" && !emitUpper(key) {
				return false
			}
			if more && it.Key() == key {
				e := it.Value()
				more = it.Next()
				return e.deleted || emit(key, e.value)
			}
			return emit(key, value)
		})
		if err != nil || stopped {
			return err
		}
		emitUpper("")
		return nil
	}
}
