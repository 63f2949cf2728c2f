package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Program is how to run a node: this very program, by the name that it was called by.
type Program struct {
	Path string   // of the executable
	Name string   // argv[0]
	Args []string // behind `start --home HOME`
}

// ThisProgram is the running one.
func ThisProgram() (Program, error) {
	path, err := os.Executable()
	return Program{Path: path, Name: os.Args[0]}, err
}

// process is a node that this process has begun.
type process struct {
	home  Home
	begun int64         // bytes of the log before it
	done  chan struct{} // closed when it has ended
	how   error         // then: as exec.Cmd.Wait says
}

// launch begins a node's process, in a session of its own and with none of the caller's descriptors.
func (h Home) launch(program Program) (*process, error) {
	out, err := os.OpenFile(h.Log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if err := closeOnExec(); err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path:        program.Path,
		Args:        append([]string{program.Name, "start", "--home", string(h)}, program.Args...),
		Env:         environment(os.Environ()),
		Dir:         string(h),
		Stdout:      out,
		Stderr:      out,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{home: h, begun: size, done: make(chan struct{})}
	go func() {
		p.how = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// environment leaves out what is meant for the command that starts the nodes: an address in it would be that of all.
func environment(all []string) []string {
	var kept []string
	for _, v := range all {
		if !strings.HasPrefix(v, "QUORATE_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// errEnded is that a process has ended that was just begun.
var errEnded = errors.New("ended")

// ended says that the process has ended, and its last words.
func (p *process) ended() error {
	how := "with exit code 0"
	if p.how != nil {
		how = "with " + p.how.Error()
	}
	words := lastLines(p.home.Log(), p.begun, 5)
	if words == "" {
		return fmt.Errorf("%w %s and wrote nothing to %s", errEnded, how, p.home.Log())
	}
	return fmt.Errorf("%w %s; the end of %s:\n%s", errEnded, how, p.home.Log(), words)
}

// maxTail bounds how much of a log is read for its last lines, in bytes.
const maxTail = 16 << 10

func lastLines(path string, from int64, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	from = max(from, size-maxTail)
	text := make([]byte, max(size-from, 0))
	if _, err := f.ReadAt(text, from); err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(all[max(len(all)-lines, 0):], []byte("\n")))
}

// pollEvery is how often something is looked at that cannot be waited for.
const pollEvery = 20 * time.Millisecond

// until looks every pollEvery whether something has come about.
func until(ctx context.Context, is func() (bool, error)) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// StopTime is how long a node has to stop by itself.
const StopTime = 15 * time.Second

// ErrNotRunning says that a node has no process.
var ErrNotRunning = errors.New("is not running")

// Stop stops node i gracefully, also if it is paused, and returns when its process has ended. A node that does not run
// is stopped.
func (n *Network) Stop(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, StopTime)
	defer cancel()
	err := n.end(ctx, i, syscall.SIGTERM, syscall.SIGCONT)
	switch {
	case errors.Is(err, ErrNotRunning):
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("node%d did not stop within %v: quorate testnet kill %d", i, StopTime, i)
	}
	return err
}

// Kill ends node i as a crash of its process would.
func (n *Network) Kill(ctx context.Context, i int) error { return n.end(ctx, i, syscall.SIGKILL) }

// Pause freezes node i.
func (n *Network) Pause(i int) error { return n.signal(i, syscall.SIGSTOP) }

// Resume lets node i go on.
func (n *Network) Resume(i int) error { return n.signal(i, syscall.SIGCONT) }

// end sends signals that end the node's process, and waits for its end.
func (n *Network) end(ctx context.Context, i int, signals ...os.Signal) error {
	p, err := n.process(i)
	if err != nil {
		return err
	}
	defer p.Release()
	if err := n.Home(i).end(ctx, p, signals...); err != nil {
		return fmt.Errorf("node%d: %w", i, err)
	}
	return nil
}

func (h Home) end(ctx context.Context, p *os.Process, signals ...os.Signal) error {
	for _, s := range signals {
		if err := p.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	return until(ctx, func() (bool, error) {
		if p.Signal(syscall.Signal(0)) == nil && !gone(p.Pid) {
			return false, nil
		}
		// Who asks next whether the node runs asks for its lock: a start that still saw it would begin nothing.
		_, runs, err := h.running()
		return !runs, err
	})
}

func (n *Network) signal(i int, s os.Signal) error {
	p, err := n.process(i)
	if err != nil {
		return err
	}
	defer p.Release()
	return p.Signal(s)
}

func (n *Network) process(i int) (*os.Process, error) {
	p, err := n.Home(i).process()
	if errors.Is(err, ErrNotRunning) {
		return nil, fmt.Errorf("node%d %w: quorate testnet start %d", i, ErrNotRunning, i)
	}
	return p, err
}

// stateOf is the letter that the system has for a process's state, T if it is stopped by a signal and Z if it has ended and
// nobody has asked how; 0 where there is no /proc. (proc(5): it is behind the name, which is in parentheses.)
func stateOf(pid int) byte {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	i := bytes.LastIndex(text, []byte(") "))
	if i < 0 || i+2 >= len(text) {
		return 0
	}
	return text[i+2]
}

// gone says whether a process that nobody has asked about has let go of everything. Its first thread is shown as ended
// while others are still on their way out, from a sync perhaps: until the last one is, its ports and locks are taken.
func gone(pid int) bool {
	if stateOf(pid) != 'Z' {
		return false
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return err != nil || len(threads) <= 1
}

// Running lists the nodes that have a process.
func (n *Network) Running() ([]int, error) {
	var ids []int
	for i := 1; i <= n.N(); i++ {
		_, runs, err := n.Home(i).running()
		if err != nil {
			return nil, err
		}
		if runs {
			ids = append(ids, i)
		}
	}
	return ids, nil
}

// AwaitEnd waits until no node runs, however each of them ends.
func (n *Network) AwaitEnd(ctx context.Context) error {
	return until(ctx, func() (bool, error) {
		ids, err := n.Running()
		return len(ids) == 0, err
	})
}
