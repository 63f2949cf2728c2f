// Package store remembers: a synced log of opaque records over a small file system interface, and an index of the blocks in it.
//
// Nothing here knows what a record means. What a replica says rests on what this package has made durable, so an error of the disk
// is never papered over: it ends the log, and with it the replica.
package store

import (
	"errors"
	"io"
)

// FS is what the log needs of a file system. Paths are those of path/filepath; errors wrap those of io/fs where one fits.
//
// What a name refers to is durable only after SyncDir of its folder, what a file holds only after its own Sync.
type FS interface {
	MakeDir(path string) error           // makes a folder and those missing above it; durable when it returns; no error if it is there
	Create(path string) (File, error)    // makes a file that must not be there yet, for reading and writing
	Open(path string) (File, error)      // opens a file that must be there, for reading and writing
	Rename(from, to string) error        // moves a file within its folder, in place of what has the name
	Remove(path string) error            // takes a file's name away
	List(dir string) ([]string, error)   // the names in a folder, in ascending order
	SyncDir(dir string) error            // makes the names in a folder durable
	Lock(path string) (io.Closer, error) // keeps other processes out until closed, or this one ends; ErrLocked if one is in
}

// File is one open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)         // in bytes
	Preallocate(size int64) error // makes the file that many bytes long, zeros where nothing was written, with space set aside if possible
	Sync() error                  // makes content and size durable; after an error neither is known, and a second call proves nothing
	Identity() (Identity, error)  // tells the file from every other, a copy of it included
	Reread() error                // makes later reads tell what the disk holds: after a failed sync, memory may show what it never got
}

// Identity is what a file keeps under every name, in an image of its file system too, and what no copy of it has.
type Identity struct {
	Inode uint64
	Born  int64 // ns since 1970; 0 where the file system does not say
}

// ErrLocked says that another process has the lock.
var ErrLocked = errors.New("in use by another process")
