package statemachine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// Readers see one version, whole, while batches are executed and committed. Each batch writes its number to two keys.
// Meant for -race too.
func TestReadersSeeWholeVersions(t *testing.T) {
	disk := onBadger(t, t.TempDir())
	defer closed(t, disk)
	for _, b := range []Backing{NewMemory(), disk} {
		app := new(scripted)
		const batches = 60
		var ops [][]byte
		for range batches {
			ops = append(ops, app.does(func(v View, c Context) ([]byte, error) {
				v.Set([]byte("a"), encodeUint64(c.Seq))
				v.Set([]byte("b"), encodeUint64(c.Seq))
				return nil, nil
			}))
		}
		r := opened(t, b, app)
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for newest := uint64(0); ; {
					select {
					case <-stop:
						return
					default:
					}
					var seen []uint64
					seq, err := r.Scan(Newest, nil, nil, func(_, value []byte) bool {
						seen = append(seen, binary.BigEndian.Uint64(value))
						return true
					})
					if err != nil || seq < newest || seq > 0 && (len(seen) != 2 || seen[0] != seq || seen[1] != seq) {
						t.Errorf("at %d, after %d: %d, %v", seq, newest, seen, err)
						return
					}
					newest = seq
					if _, state, err := r.Find(sender(0), 1); err != nil || seq > 0 && state != NonceTaken {
						t.Errorf("nonce 1 at %d: %d, %v", seq, state, err)
					}
				}
			})
		}
		for i, op := range ops {
			r.execute(sent(fmt.Sprint(i), uint64(i)+1, op))
			r.commit(uint64(i) + 1)
		}
		close(stop)
		readers.Wait()
	}
}

// A backing drops old versions under a slow query. It is told, and not served a mixture.
func TestSlowQueryIsToldThatItsVersionIsGone(t *testing.T) {
	for extra, gone := range []bool{false, true} {
		app := new(slow)
		r := opened(t, impatient{NewMemory()}, app)
		r.execute()
		r.commit(1)
		app.query = func() {
			for i := 2; i <= 1+memoryHistory+impatience+extra; i++ {
				r.execute()
				r.commit(uint64(i))
			}
		}

		_, _, err := r.Query(1, nil)

		var u *Unreadable
		if errors.As(err, &u) != gone || !gone && err != nil {
			t.Errorf("%d more than allowed: %v", extra, err)
		}
	}
}

// impatient is a backing that drops versions under its readers soon.
type impatient struct{ Backing }

const impatience = 3

func (i impatient) Bounds() Bounds {
	b := i.Backing.Bounds()
	b.Grace = impatience
	return b
}

type slow struct {
	steps
	query func()
}

func (s *slow) Query(Reader, []byte) ([]byte, error) {
	s.query()
	return nil, nil
}
