package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// settled are the settings of the kernel that the kubelet wants, and would
// write. They are the machine's and not the node's, so it is shown files that
// say what it wants to read.
var settled = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// makeMounts gives the node the machine's files, except for what its programs
// write at places that cannot be configured.
func makeMounts(dir string) error {
	file := func(name string) string { return filepath.Join(dir, name) }
	// First of all, or what follows would be seen outside.
	if err := mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return err
	}
	for name, value := range settled {
		target := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(target); err != nil {
			continue // another kernel than most
		}
		if err := cover(file(filepath.Join("sys", name)), value+"\n", target); err != nil {
			return err
		}
	}
	// By its name the kubelet finds its address, without asking any network.
	hosts := fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", nodeAddress, nodeName)
	if err := cover(file("hosts"), hosts, "/etc/hosts"); err != nil {
		return err
	}

	// /run: shims, network namespaces. /var/log: links to the logs of containers.
	for _, place := range []string{"/run", "/var/log"} {
		if err := mount("tmpfs", place, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"); err != nil {
			return err
		}
	}
	// /var/lib: the kubelet, and what CNI remembers. Not hidden, since someone's
	// checkout may be there.
	for _, name := range []string{"lib", "lib.work", "kubelet"} {
		if err := os.MkdirAll(file(name), 0o755); err != nil {
			return err
		}
	}
	layers := fmt.Sprintf("lowerdir=/var/lib,upperdir=%s,workdir=%s", file("lib"), file("lib.work"))
	if err := mount("overlay", "/var/lib", "overlay", 0, layers); err != nil {
		return err
	}
	const kubelet = "/var/lib/kubelet"
	if err := os.MkdirAll(kubelet, 0o755); err != nil {
		return err
	}
	if err := mount(file("kubelet"), kubelet, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	if err := makeProcessors(dir); err != nil {
		return err
	}
	// The kernel lets a user namespace have a file system of these kinds only where
	// all of such a one can be seen; those at /proc and /sys have files covered.
	for _, kind := range []string{"proc", "sysfs"} {
		whole := file("whole-" + kind)
		if err := os.Mkdir(whole, 0o755); err != nil {
			return err
		}
		if err := mount(kind, whole, kind, syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
			return err
		}
	}
	if err := enterCgroups(dir); err != nil {
		return err
	}
	// As the kubelet wants it, for volumes that a pod mounts for others.
	return mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, "")
}

// cover puts a file of ours in the place of another.
func cover(source, content, target string) error {
	if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(source, []byte(content), 0o644); err != nil {
		return err
	}
	return mount(source, target, "", syscall.MS_BIND, "")
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("failed to mount %s %s on %s: %w", kind, source, target, err)
	}
	return nil
}
