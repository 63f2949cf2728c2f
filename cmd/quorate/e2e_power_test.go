package main

import (
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/testnet/local"
)

// A power cut, of all nodes at once. What a process has written and not synced is in the page cache, and a process that is
// killed does not lose it: only a machine does. So each node's data is on a disk of its own, an ext4 file system in an
// image, and the images are files of another file system, the shelf. Freezing the shelf stops all disks in one instant,
// in the middle of whatever syncs are under way: no write gets to any of them any more, and no sync ends. A copy of the
// images is then what four disks would hold after the power was gone. What the disks had been told they hold, synced or
// not: a disk that also loses, or reorders, what it was told before a flush is not played here (the simulator's does).
//
// From the copies the nodes start again, and the file systems replay their journals.

// power is a network of four with a disk for each node.
type power struct {
	*endToEnd
	*local.Network
	shelf string // where the images lie while they are in use
	cut   string // where their copies lie, on another file system
}

const (
	shelfBytes = 4 << 30
	diskBytes  = 768 << 20
)

func newPower(t *testing.T) *power {
	e := newBuilt(t)
	e.needsMounts("fsfreeze", "cp")
	p := &power{endToEnd: e, shelf: filepath.Join(e.dir, "shelf"), cut: filepath.Join(e.dir, "cut")}
	image := filepath.Join(e.dir, "shelf.img")
	p.format(image, shelfBytes)
	p.mountImage(image, p.shelf)
	p.must(os.Mkdir(p.cut, 0o700))

	e.run("testnet", "init", "--base-port", "0")
	n, err := local.Open(filepath.Join(e.dir, "quorate-testnet"))
	p.must(err)
	p.Network = n
	for _, i := range n.All() {
		p.format(p.image(i), diskBytes)
		p.ownDisk(n, i, func(at string) { p.mountImage(p.image(i), at) })
	}
	return p
}

func (p *power) image(i int) string { return filepath.Join(p.shelf, fmt.Sprintf("disk%d.img", i)) }
func (p *power) copy(i int) string  { return filepath.Join(p.cut, fmt.Sprintf("disk%d.img", i)) }

// off cuts the power of all four at once, and puts the disks as they were in that instant in the place of those in use.
// It says how many of the nodes' files have another content than the nodes had been shown.
func (p *power) off() (changed int) {
	p.t.Helper()
	p.system("fsfreeze", "-f", p.shelf)
	thawed := false
	thaw := func() {
		if !thawed {
			thawed = true
			p.system("fsfreeze", "-u", p.shelf)
		}
	}
	defer thaw()
	// Nobody says anything any more, not even when the disks go on: the signal is there before they do.
	p.kill()
	for _, i := range p.All() {
		p.system("cp", "--sparse=always", p.image(i), p.copy(i))
	}
	thaw()
	p.ended()
	shown := p.contents()
	for _, i := range p.All() {
		p.system("umount", p.Home(i).Data())
		p.system("cp", "--sparse=always", p.copy(i), p.image(i))
		p.mountImage(p.image(i), p.Home(i).Data())
	}
	found := p.contents()
	for path, sum := range shown {
		if found[path] != sum {
			changed++
		}
	}
	return changed
}

// kill sends the signal, and does not wait for the end, for which some threads need their disks.
func (p *power) kill() {
	p.t.Helper()
	for _, i := range p.All() {
		text, err := os.ReadFile(p.Home(i).PID())
		p.must(err)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		p.must(err)
		p.must(syscall.Kill(pid, syscall.SIGKILL))
	}
}

func (p *power) ended() {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		running, err := p.Running()
		p.must(err)
		if len(running) == 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("nodes %v do not end", running)
		}
	}
}

// contents are the checksums of all files on the nodes' disks.
func (p *power) contents() map[string]uint32 {
	p.t.Helper()
	sums := make(map[string]uint32)
	for _, i := range p.All() {
		p.must(filepath.WalkDir(p.Home(i).Data(), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
			_, err = io.Copy(sum, f)
			sums[path] = sum.Sum32()
			return err
		}))
	}
	return sums
}

// When the power of all nodes is cut at once, under load and at any instant, nothing that was acknowledged is lost, and
// the network goes on. // case F12
// Red if what leaves a node does not wait for the sync of what it rests on: see the next test.
func TestEndToEndPowerCutOfAllUnderLoad(t *testing.T) {
	p := newPower(t)
	rounds := numberFrom(t, "QUORATE_ROUNDS", 2)
	seed := numberFrom(t, "QUORATE_SEED", uint64(time.Now().UnixNano()))
	random := rand.New(rand.NewPCG(seed, 2))
	t.Logf("QUORATE_ROUNDS=%d QUORATE_SEED=%d", rounds, seed)
	p.run("testnet", "start", "1", "2", "3", "4")
	acknowledged, changed := 0, 0
	for round := range rounds {
		l := p.load(fmt.Sprintf("acks%d.txt", round), "8s")
		l.until(500 + random.IntN(2000))
		time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond)))) // an instant that has nothing to do with an acknowledgement

		changed += p.off()

		p.run("testnet", "start", "1", "2", "3", "4")
		acknowledged += int(l.end("acknowledged"))
		p.run("audit", "--acks", l.acks)
	}
	if changed == 0 {
		t.Error("no cut has taken anything from any disk: nothing is shown")
	}
	t.Logf("%d power cuts of all nodes; %d files had lost something un-synced; %d acknowledgements, none of which is lost",
		rounds, changed, acknowledged)
}

// A network that does not sync its log loses what it has acknowledged: the test before this one can tell.
func TestEndToEndPowerCutFindsALogThatIsNotSynced(t *testing.T) {
	p := newPower(t)
	honest := p.binary
	p.binary = filepath.Join(p.dir, "quorate-without-sync")
	build := exec.Command("go", "run", "./testnet/mutants", "-o", p.binary, "build", "01")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.run("testnet", "start", "1", "2", "3", "4")
	l := p.load("acks.txt", "1h")
	l.until(2000)

	p.off()

	_ = l.cmd.Process.Kill()
	_ = l.cmd.Wait() // killed
	p.binary = honest
	out, err := p.command("audit", "--offline", "--acks", l.acks).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "was acknowledged at") {
		t.Fatalf("the audit found nothing lost after a power cut of nodes that never sync their logs: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Logf("as it should be: %s", lines[len(lines)-2])
}
