package main

import (
	"os"
	"path/filepath"
	"syscall"
)

// sweep deletes the temporary directories of supervisors that were killed and
// could not do it themselves; with etcd's log each takes 64 MB. Whoever lives
// holds a lock. Nothing here is worth failing for.
func sweep() {
	locks, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryName+"*", lockName))
	if err != nil {
		return
	}
	for _, path := range locks {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		// Another user may give a folder of theirs such a name.
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Getuid() {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(filepath.Dir(path))
		}
		file.Close()
	}
}
