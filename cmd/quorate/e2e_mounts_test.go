package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/quorate/quorate/node"
	"github.com/quorate/quorate/testnet/local"
)

// needsMounts skips the test where file systems cannot be made and mounted, or one of some other tools is missing.
func (e *endToEnd) needsMounts(tools ...string) {
	e.t.Helper()
	if os.Geteuid() != 0 {
		e.t.Skip("needs root, to mount file systems of its own")
	}
	e.needs(append(tools, "mkfs.ext4", "mount", "umount")...)
}

// needs skips the test where a tool of the system is missing.
func (e *endToEnd) needs(tools ...string) {
	e.t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			e.t.Skipf("needs %s: install it to run this test", tool)
		}
	}
}

func (e *endToEnd) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// system runs a command of the system.
func (e *endToEnd) system(name string, args ...string) {
	e.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		e.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// format makes an ext4 file system in an image.
func (e *endToEnd) format(image string, size int64) {
	e.t.Helper()
	f, err := os.Create(image)
	e.must(err)
	e.must(f.Truncate(size))
	e.must(f.Close())
	// What is otherwise written later, in the background, would be writes of nobody's.
	e.system("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
}

// mountImage mounts a file system in an image.
func (e *endToEnd) mountImage(image, at string) {
	e.t.Helper()
	e.mount(at, "-o", "loop,noatime,errors=remount-ro", image)
}

// mount lasts until it is undone, or the end of the test.
func (e *endToEnd) mount(at string, args ...string) {
	e.t.Helper()
	e.must(os.MkdirAll(at, 0o700))
	e.system("mount", append(args, at)...)
	e.t.Cleanup(func() {
		killAll(filepath.Join(e.dir, "quorate-testnet"))
		_ = exec.Command("umount", at).Run() // unless that has been done
	})
}

// ownDisk puts the data of a node that has never run on a file system of its own. The member's log is made there once
// more: nothing was promised yet.
func (e *endToEnd) ownDisk(n *local.Network, i int, mount func(at string)) {
	e.t.Helper()
	at := n.Home(i).Data()
	e.must(os.RemoveAll(at))
	mount(at)
	m := n.Genesis.Members[i-1]
	e.must(node.Create(string(n.Home(i)), m.Key, m.Incarnation))
}
