package fault

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/store"
)

// torture is a disk in memory with faults over it, and one file of 4 KiB.
type torture struct {
	t      *testing.T
	faults *Faults
	under  *store.Memory
	file   store.File
}

func newTorture(t *testing.T) *torture {
	under := store.NewMemory()
	if err := under.MakeDir("/d"); err != nil {
		t.Fatal(err)
	}
	x := &torture{t: t, under: under, faults: New(1, crypto.NewPrivateKey([32]byte{1}), under)}
	t.Cleanup(x.faults.Close)
	f, err := x.faults.Disk().Create("/d/f")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Preallocate(4096); err != nil {
		t.Fatal(err)
	}
	x.file = f
	x.sync(nil)
	return x
}

func (x *torture) write(text string, off int64, want error) {
	x.t.Helper()
	if _, err := x.file.WriteAt([]byte(text), off); !errors.Is(err, want) {
		x.t.Fatalf("write: %v, want %v", err, want)
	}
}

func (x *torture) sync(want error) {
	x.t.Helper()
	if err := x.file.Sync(); !errors.Is(err, want) {
		x.t.Fatalf("sync: %v, want %v", err, want)
	}
}

// sees is what the file's process reads.
func (x *torture) sees(n int, off int64, want string) {
	x.t.Helper()
	reads(x.t, x.file, n, off, want)
}

// holds is what the file has when its process is gone.
func (x *torture) holds(n int, off int64, want string) {
	x.t.Helper()
	x.under.Kill()
	f, err := x.under.Open("/d/f")
	if err != nil {
		x.t.Fatal(err)
	}
	reads(x.t, f, n, off, want)
}

func reads(t *testing.T, f store.File, n int, off int64, want string) {
	t.Helper()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if string(b) != want {
		t.Errorf("reads %q, want %q", b, want)
	}
}

func (x *torture) counts() Counts { return x.faults.Counts() }

func TestWhatIsHeldBackIsSeenAndGoneWithTheProcess(t *testing.T) {
	x := newTorture(t)
	x.write("before", 0, nil)
	x.faults.disk.HoldBack()
	x.write("synced", 0, nil)
	x.sync(nil)
	x.write("LOST", 1, nil)
	x.write("!", 2, nil)
	x.sees(6, 0, "sL!STd")
	if got := x.counts().Unsynced; got != 5 {
		t.Errorf("%d bytes are held back, want 5", got)
	}
	x.holds(6, 0, "synced")
}

func TestWhatWasSyncedIsKept(t *testing.T) {
	x := newTorture(t)
	x.faults.disk.HoldBack()
	x.write("one", 0, nil)
	x.write("two", 3, nil)
	x.sync(nil)
	if got := x.counts().Unsynced; got != 0 {
		t.Errorf("%d bytes are held back after a sync", got)
	}
	x.sees(6, 0, "onetwo")
	x.holds(6, 0, "onetwo")
}

// A file that has grown by what is held back reads as long as it is, zeros where nothing was written.
func TestWhatIsHeldBackBeyondTheEndIsSeen(t *testing.T) {
	x := newTorture(t)
	x.faults.disk.HoldBack()
	x.write("end", 5000, nil)
	if size, err := x.file.Size(); err != nil || size != 5003 {
		t.Errorf("size %d, %v", size, err)
	}
	b := bytes.Repeat([]byte{'x'}, 8)
	if n, err := x.file.ReadAt(b, 4998); n != 5 || !errors.Is(err, io.EOF) || string(b[:5]) != "\x00\x00end" {
		t.Errorf("reads %d, %v: %q", n, err, b)
	}
}

func TestAFileThatIsClosedInOrderKeepsWhatWasHeldBack(t *testing.T) {
	x := newTorture(t)
	x.faults.disk.HoldBack()
	x.write("kept", 0, nil)
	if err := x.file.Close(); err != nil {
		t.Fatal(err)
	}
	if got := x.counts().Unsynced; got != 0 {
		t.Errorf("%d bytes are held back", got)
	}
	x.holds(4, 0, "kept")
}

func TestAFullDiskTakesWhatFits(t *testing.T) {
	x := newTorture(t)
	x.faults.disk.Fill(6)
	x.write("four", 0, nil)
	x.write("more", 4, syscall.ENOSPC)
	x.write("x", 6, syscall.ENOSPC)
	x.sees(7, 0, "fourmo\x00")
	if err := x.file.Preallocate(8192); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("preallocate: %v", err)
	}
	if got := x.counts().Full; got != 3 {
		t.Errorf("full %d times, want 3", got)
	}
}

func TestASyncFailsOnce(t *testing.T) {
	x := newTorture(t)
	x.faults.disk.HoldBack()
	x.write("word", 0, nil)
	x.faults.disk.FailSync()
	x.sync(syscall.EIO)
	x.sees(4, 0, "word")
	if got := x.counts().Failed; got != 1 {
		t.Errorf("failed %d times", got)
	}
	x.holds(4, 0, "\x00\x00\x00\x00")
}

func TestASlowDiskSyncsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTorture(t)
		x.faults.disk.Slow(3 * time.Second)
		begun := time.Now()
		x.sync(nil)
		x.faults.disk.Slow(0)
		x.sync(nil)
		if took := time.Since(begun); took != 3*time.Second || x.counts().Slowed != 1 {
			t.Errorf("took %v, slowed %d times", took, x.counts().Slowed)
		}
	})
}

// A strike waits until something is held back, and then nothing more gets to the disk.
func TestAStrikeTakesWhatIsNotSynced(t *testing.T) {
	for _, tear := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			x := newTorture(t)
			x.faults.disk.HoldBack()
			x.write("0123", 0, nil)
			x.sync(nil)
			struck := make(chan Struck, 1)
			go func() {
				s, err := x.faults.disk.Strike(tear, time.Hour)
				if err != nil {
					t.Error(err)
				}
				struck <- s
			}()
			synctest.Wait()
			ended := make(chan error, 1)
			go func() {
				x.write("abcd", 0, nil)
				ended <- x.file.Sync()
			}()
			if s := <-struck; s.Unsynced != 4 || s.Torn != tear {
				t.Errorf("%+v", s)
			}
			synctest.Wait()
			select {
			case err := <-ended:
				t.Errorf("a sync has ended after the strike: %v", err)
			default:
			}
			x.holds(4, 0, map[bool]string{false: "0123", true: "ab23"}[tear])
			x.faults.Close()
			if err := <-ended; err == nil {
				t.Error("what the strike has taken is said to be synced")
			}
		})
	}
}

func TestAStrikeFindsNothingWhereNothingIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTorture(t)
		begun := time.Now()
		if s, err := x.faults.disk.Strike(false, time.Second); err != nil || s != (Struck{}) || time.Since(begun) != 0 {
			t.Errorf("%+v, %v after %v on a disk that holds nothing back", s, err, time.Since(begun))
		}
		x.faults.disk.HoldBack()
		if s, err := x.faults.disk.Strike(true, time.Second); err != nil || s != (Struck{}) || time.Since(begun) != time.Second {
			t.Errorf("%+v, %v after %v while nobody writes", s, err, time.Since(begun))
		}
		x.write("on", 0, nil)
		x.sync(nil)
	})
}

// The log itself over a disk that is killed at every write finds what was synced.
func TestTheLogOutlivesAStrike(t *testing.T) {
	under := store.NewMemory()
	if err := store.Create(under, "/log", store.Record{Kind: 1, Payload: []byte("birth")}, store.Options{SegmentBytes: 4096}); err != nil {
		t.Fatal(err)
	}
	synced := 0
	for round := range 8 {
		f := New(1, crypto.NewPrivateKey([32]byte{1}), under)
		f.disk.HoldBack()
		found := 0
		log, _, err := store.Open(f.Disk(), "/log", store.Options{SegmentBytes: 4096}, func(store.Position, store.Record, bool) error {
			found++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if found < 1+synced {
			t.Fatalf("round %d: %d records, %d were synced", round, found, 1+synced)
		}
		synced = found - 1
		for range 3 {
			if _, err := log.Append([]store.Record{{Kind: 2, Payload: []byte("fact")}}, false); err != nil {
				t.Fatal(err)
			}
			if err := log.Sync(); err != nil {
				t.Fatal(err)
			}
			synced++
		}
		if _, err := log.Append([]store.Record{{Kind: 2, Payload: bytes.Repeat([]byte("lost"), 300)}}, false); err != nil {
			t.Fatal(err)
		}
		if s, err := f.disk.Strike(round%2 == 1, 0); err != nil || s.Unsynced == 0 {
			t.Fatalf("%+v, %v", s, err)
		}
		under.Kill()
		f.Close()
	}
}
