package main

import (
	"os"
	"syscall"
)

// initialise is process 1 inside. It makes the place, starts what runs in it,
// and reaps whatever is left without a parent, as shims are that hold
// containers. When it ends, the kernel ends everything else.
func initialise(o options) error {
	if err := makeMounts(o.dir); err != nil {
		return err
	}
	if err := makeNetwork(); err != nil {
		return err
	}
	// Not os/exec, which wants to wait for its children itself.
	programs, err := syscall.ForkExec("/proc/self/exe", append([]string{os.Args[0], "programs"}, os.Args[2:]...),
		&syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return os.NewSyscallError("fork", err)
	}
	for {
		var status syscall.WaitStatus
		child, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		if child == programs {
			return errTold
		}
	}
}
