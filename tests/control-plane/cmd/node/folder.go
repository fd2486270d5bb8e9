package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// home has a folder for every node. It has to be a place that everyone knows,
// or nobody would find what a killed one left; and on a disk, since images are
// unpacked there. Scripts beside tests/node/up know it too.
const home = "/var/tmp/dynamo-cache-node"

const lockName = "node.lock"

// folder is what one node has on disk, with the record of what it has besides:
// its name is in the name of its cgroup, and all else is inside namespaces that
// end with it. Whoever lives holds the lock.
type folder struct {
	name string
	dir  string
	lock *os.File
}

func newFolder() (*folder, error) {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	if err := ours(home); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(home, "")
	if err != nil {
		return nil, err
	}
	f := &folder{name: filepath.Base(dir), dir: dir}
	// The lock gets its name when it is locked already, so that no one who sweeps
	// can come in between.
	if f.lock, err = os.CreateTemp(dir, ".lock-"); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	if err := os.Rename(f.lock.Name(), filepath.Join(dir, lockName)); err != nil {
		return nil, err
	}
	return f, f.write("up.pid", pid(os.Getpid()))
}

// ours makes sure that no one else put the folder there, whose content we would
// believe: everyone may write to /var/tmp.
func ours(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(owner.Uid) != os.Getuid() {
		return fmt.Errorf("%s belongs to someone else; look into it, then delete it", path)
	}
	return nil
}

func (f *folder) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(f.dir, name), content, 0o600)
}

// remove deletes what a node leaves when its processes are gone. Its lock is the
// last to go, by which it is found, so whoever is killed here can be followed by
// another. We hold it still.
func (f *folder) remove() error {
	err := removeCgroups(f.name, time.Now().Add(20*time.Second))
	entries, problem := os.ReadDir(f.dir)
	err = errors.Join(err, problem)
	for _, entry := range entries {
		if entry.Name() != lockName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(f.dir, entry.Name())))
		}
	}
	if err != nil {
		return err
	}
	err = os.RemoveAll(f.dir)
	os.Remove(home) // fails where there are others
	return err
}

// taken is the folder if its node is dead, and nil if it lives.
func taken(name string) (*folder, error) {
	f := &folder{name: name, dir: filepath.Join(home, name)}
	var err error
	if f.lock, err = os.Open(filepath.Join(f.dir, lockName)); err != nil {
		return nil, err
	}
	if syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		f.lock.Close()
		return nil, nil
	}
	return f, nil
}

func names() ([]string, error) {
	locks, err := filepath.Glob(filepath.Join(home, "*", lockName))
	if err != nil || len(locks) == 0 {
		return nil, err
	}
	var all []string
	for _, path := range locks {
		all = append(all, filepath.Base(filepath.Dir(path)))
	}
	return all, ours(home)
}

// sweep removes what killed nodes left.
func sweep() error {
	all, err := names()
	if err != nil {
		return err
	}
	for _, name := range all {
		f, err := taken(name)
		if f == nil {
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // gone meanwhile
				return err
			}
			continue
		}
		fmt.Fprintf(os.Stderr, "Removing what node %s left, which was killed.\n", name)
		err = f.remove()
		f.lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// down ends the named nodes, or all.
func down(wanted []string) error {
	if err := sweep(); err != nil {
		return err
	}
	all, err := names()
	if err != nil {
		return err
	}
	if len(wanted) > 0 {
		all = wanted
	}
	for _, name := range all {
		if err := end(name); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "Node %s is gone.\n", name)
	}
	return nil
}

// end tells a node to stop, and waits until its last process is gone.
func end(name string) error {
	lock, err := os.Open(filepath.Join(home, filepath.Base(name), lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	content, err := os.ReadFile(filepath.Join(home, filepath.Base(name), "up.pid"))
	if err != nil {
		return err
	}
	holder, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return err
	}
	// It holds the lock, so this is still the process that wrote the number.
	if err := syscall.Kill(holder, syscall.SIGTERM); err != nil && err != syscall.ESRCH {
		return os.NewSyscallError("kill", err)
	}
	if err := until(time.Now().Add(time.Minute), func() error {
		return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}); err != nil {
		return fmt.Errorf("node %s does not end within a minute; kill -9 %d, then run this again", name, holder)
	}
	return nil
}

// until asks until there is no problem, or the time is over.
func until(deadline time.Time, problem func() error) error {
	for {
		err := problem()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func pid(number int) []byte { return []byte(strconv.Itoa(number) + "\n") }
