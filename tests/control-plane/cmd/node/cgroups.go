package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cgroupPrefix and the node's name are the name of its cgroup, in every
// hierarchy. All its processes are in there. Inside, a cgroup namespace and
// mounts make it look like the whole hierarchy, so that whatever a runtime makes
// is below it.
const cgroupPrefix = "dynamo-cache-node-"

// hierarchies are the folders where the machine has cgroups mounted: one with
// version 2, one for every controller with version 1.
func hierarchies() ([]string, error) {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var all []string
	for line := range strings.Lines(string(table)) {
		field := strings.Fields(line)
		if len(field) > 2 && (field[2] == "cgroup" || field[2] == "cgroup2") && !slices.Contains(all, field[1]) {
			all = append(all, field[1])
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no cgroups are mounted below /sys/fs/cgroup, and containers need them")
	}
	return all, nil
}

func (f *folder) makeCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range all {
		group := filepath.Join(root, cgroupPrefix+f.name)
		if err := os.Mkdir(group, 0o755); err != nil {
			return err
		}
		// A new group of the cpuset controller has neither, and may then run nothing.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			if content, err := os.ReadFile(filepath.Join(root, name)); err == nil {
				os.WriteFile(filepath.Join(group, name), content, 0)
			}
		}
	}
	return nil
}

// enterCgroups moves this process into the node's cgroups, which it sees alone
// from then on. To be called by the main thread, from which the rest is started.
func enterCgroups(dir string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	name := cgroupPrefix + filepath.Base(dir)
	for _, root := range all {
		if err := join(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	if err := syscall.Unshare(syscall.CLONE_NEWCGROUP); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	// In the place of the mount that was there, and not on top of it: runc reads
	// the table of mounts, and would take the first.
	aside := filepath.Join(dir, "cgroup")
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	for _, root := range all {
		if err := mount(filepath.Join(root, name), aside, "", syscall.MS_BIND, ""); err != nil {
			return err
		}
		if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("failed to unmount %s: %w", root, err)
		}
		if err := mount(aside, root, "", syscall.MS_MOVE, ""); err != nil {
			return err
		}
		if err := delegate(root); err != nil {
			return err
		}
	}
	return nil
}

// delegate lets a group of version 2 hand its controllers on, for which no
// process may be in the group itself.
func delegate(root string) error {
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil || len(bytes.Fields(controllers)) == 0 {
		return nil // version 1, or beside it
	}
	programs := filepath.Join(root, "programs")
	if err := os.Mkdir(programs, 0o755); err != nil {
		return err
	}
	if err := join(programs); err != nil {
		return err
	}
	enable := "+" + strings.Join(strings.Fields(string(controllers)), " +")
	return os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte(enable), 0)
}

// join moves this process into a group.
func join(group string) error {
	return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0)
}

// removeCgroups waits for the processes of a node that was just killed: a group
// can go when it is empty, and not before.
func removeCgroups(name string, deadline time.Time) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range all {
		group := filepath.Join(root, cgroupPrefix+name)
		if err := until(deadline, func() error { return removeGroup(group) }); err != nil {
			return fmt.Errorf("the cgroup %s cannot be removed, something still runs in it: %w", group, err)
		}
	}
	return nil
}

// removeGroup removes the groups inside of it first. Its files are not files
// that could be deleted.
func removeGroup(group string) error {
	entries, err := os.ReadDir(group)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeGroup(filepath.Join(group, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(group); err != nil && err != syscall.ENOENT {
		return err
	}
	return nil
}
