//go:build !linux

package local

import "syscall"

// closeOnExec keeps descriptors that this process was given, and knows nothing of, from its children: a node that held
// the writing end of somebody's pipe would keep its reader waiting. Descriptors above maxInherited are not looked for.
func closeOnExec() error {
	const maxInherited = 256
	for fd := 3; fd < maxInherited; fd++ {
		syscall.CloseOnExec(fd)
	}
	return nil
}
