// Package child runs one program: starts it, sees it end, stops it, and tells
// what it said last. The control plane and the node share it.
package child

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Child is one running program.
type Child struct {
	Name    string
	log     string
	pidFile string
	command *exec.Cmd
	// patience is how long it may take to end by itself when told to.
	patience time.Duration
	// ended is closed when the process is gone.
	ended chan struct{}
}

// Start starts a program that keeps NAME.pid and NAME.log in a folder, which is
// its working directory too. Its log is appended to, since it may have run
// before. To be called by the main thread alone, which has to be locked: the
// program dies with the thread that started it.
func Start(dir, program string, patience time.Duration, args ...string) (*Child, error) {
	name := filepath.Base(program)
	c := &Child{
		Name:     name,
		log:      filepath.Join(dir, name+".log"),
		pidFile:  filepath.Join(dir, name+".pid"),
		command:  exec.Command(program, args...),
		patience: patience,
		ended:    make(chan struct{}),
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.command.Dir = dir
	c.command.Stdout, c.command.Stderr = log, log
	c.command.SysProcAttr = &syscall.SysProcAttr{
		// However we end, it ends.
		Pdeathsig: syscall.SIGKILL,
		// Ctrl-C in a terminal reaches every process of the group: etcd would
		// then be gone before the API server, which waits for it for minutes.
		Setpgid: true,
	}
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("%s cannot be started: %w", name, err)
	}
	go func() {
		c.command.Wait()
		close(c.ended)
	}()
	return c, os.WriteFile(c.pidFile, []byte(strconv.Itoa(c.command.Process.Pid)+"\n"), 0o600)
}

// Stop ends the process and waits until it is gone. It is killed when its time
// is up or when someone is in a hurry.
func (c *Child) Stop(hurry <-chan struct{}) {
	if c == nil {
		return
	}
	c.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-hurry:
	case <-time.After(c.patience):
		fmt.Fprintf(os.Stderr, "%s did not end within %s and is killed.\n", c.Name, c.patience)
	}
	c.command.Process.Kill()
	<-c.ended
	os.Remove(c.pidFile)
}

// Gone is closed when the process is gone. A program that is not meant to run
// cannot go: to wait for it takes for ever.
func (c *Child) Gone() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.ended
}

// Ended is the error for a process that nobody told to end.
func (c *Child) Ended() error {
	return fmt.Errorf("%s ended by itself (%s)%s", c.Name, c.command.ProcessState, c.Tail())
}

// Tail is the end of the log, for a person who has only our output: the
// directory may be gone in a moment.
func (c *Child) Tail() string {
	const lines, most = 25, 64 << 10
	file, err := os.Open(c.log)
	if err != nil {
		return fmt.Sprintf("; its log cannot be read: %v", err)
	}
	defer file.Close()
	size, _ := file.Seek(0, 2)
	content := make([]byte, min(size, most))
	n, _ := file.ReadAt(content, size-int64(len(content)))
	all := strings.Split(string(bytes.TrimRight(content[:n], "\n")), "\n")
	return fmt.Sprintf("; the end of its log:\n  %s", strings.Join(all[max(0, len(all)-lines):], "\n  "))
}

// Log is the file that has all it said.
func (c *Child) Log() string { return c.log }
