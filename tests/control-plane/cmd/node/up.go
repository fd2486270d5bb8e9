package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// up is the process outside: it holds the folder and its lock, and the one
// process on which all others depend. To be told to stop is not a failure.
func up(o options) (failure error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	stdin := make(chan struct{})
	if o.untilStdin {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(stdin)
		}()
	}

	if err := sweep(); err != nil {
		return err
	}
	f, err := newFolder()
	if err != nil {
		return err
	}
	defer func() {
		if err := f.remove(); err != nil && failure == nil {
			failure = err
		}
	}()
	if err := f.makeCgroups(); err != nil {
		return err
	}

	inside := exec.Command("/proc/self/exe", append([]string{"init", "--dir", f.dir}, os.Args[2:]...)...)
	inside.Stdout, inside.Stderr = os.Stdout, os.Stderr
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		// However we end, it ends, and all that is inside with it.
		Pdeathsig: syscall.SIGKILL,
		// Ctrl-C in a terminal is for us alone.
		Setpgid: true,
	}
	if err := inside.Start(); err != nil {
		return fmt.Errorf("namespaces cannot be made, which takes root and CAP_SYS_ADMIN: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		inside.Wait()
		close(ended)
	}()
	defer func() {
		// Nobody inside has anything to save. When this returns, the kernel has
		// ended every process there.
		inside.Process.Kill()
		<-ended
	}()
	if err := f.write("init.pid", pid(inside.Process.Pid)); err != nil {
		return err
	}

	why := "standard input has ended"
	select {
	case <-ended:
		return errTold
	case <-stdin:
	case signal := <-signals:
		why = signal.String()
	}
	fmt.Fprintf(os.Stderr, "Stopping: %s.\n", why)
	return nil
}
