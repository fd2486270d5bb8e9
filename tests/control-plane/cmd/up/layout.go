package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// layout is the directory of one control plane.
type layout struct {
	dir       string
	temporary bool
	lock      *os.File
}

const (
	temporaryName = "dynamo-cache-control-plane-"
	lockName      = "up.lock"
)

// newLayout makes the directory: a temporary one where dir is empty.
func newLayout(dir string) (*layout, error) {
	l := &layout{dir: dir, temporary: dir == ""}
	var err error
	if l.temporary {
		l.dir, err = os.MkdirTemp("", temporaryName)
	} else if l.dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(l.dir, 0o700)
	}
	if err != nil {
		return nil, err
	}
	if entries, err := os.ReadDir(l.dir); err != nil {
		return nil, err
	} else if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty; name a new folder, or delete it", l.dir)
	}
	if l.lock, err = lock(l.dir); err != nil {
		return nil, err
	}
	return l, l.write("up.pid", []byte(strconv.Itoa(os.Getpid())+"\n"))
}

// lock marks the directory as in use for as long as this process lives. The
// file gets its name when it is locked already, so that no one who sweeps can
// come in between.
func lock(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, ".lock-")
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	return file, os.Rename(file.Name(), filepath.Join(dir, lockName))
}

func (l *layout) file(name string) string { return filepath.Join(l.dir, name) }

// write makes a file that only we can read: half of them are keys.
func (l *layout) write(name string, content []byte) error {
	return os.WriteFile(l.file(name), content, 0o600)
}

func (l *layout) close() error {
	defer l.lock.Close()
	if l.temporary {
		return os.RemoveAll(l.dir)
	}
	return os.Remove(l.file("up.pid"))
}
