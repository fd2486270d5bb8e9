// Command up runs a Kubernetes control plane on 127.0.0.1 until it is told to
// stop: etcd, the API server and the controller manager, with a data directory,
// certificates and credentials of their own. It prints where they are as lines
// that a shell can eval.
//
//	main.go        the options, and the life of a control plane
//	supervisor.go  the three programs in their order
//	layout.go      what lies where in its directory
//	components.go  their flags
//	credentials.go certificates, keys, tokens, kubeconfigs
//	wait.go        poll until ready, or know why not
//	port.go        a free port that stays ours
//	sweep.go       directories that killed supervisors left
//
// One running program is package internal/child.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

type options struct {
	bin           string
	dir           string
	apiserverPort int
	apiserverArgs []string
	timeout       time.Duration
	untilStdin    bool
}

const usage = `Usage: up [OPTIONS]

Starts etcd, kube-apiserver and kube-controller-manager on 127.0.0.1, prints
"export NAME=VALUE" lines on standard output when they work, and stays until
SIGINT, SIGTERM or SIGHUP. Then nothing is left of them.

  --until-stdin-closes      also stop when standard input reaches its end
  --apiserver-arg=--FLAG=V  one more flag for kube-apiserver; may be repeated
  --apiserver-port PORT     the port of kube-apiserver (a free one)
  --dir DIR                 a new or empty folder for data and logs, which is kept
                            (a temporary one, removed at the end)
  --timeout DURATION        how long to wait for the start (2m)
  --bin DIR                 the folder with the binaries (that of this program)

In the directory, NAME.pid and NAME.log belong to etcd, kube-apiserver and
kube-controller-manager; up.pid is this program. SIGUSR1 to it stops the API
server alone, SIGUSR2 starts it again on the same port and does not wait for it.
`

func init() {
	// A child dies with the thread that started it (see process.go), so that
	// has to be the one thread which lives as long as we do.
	runtime.LockOSThread()
}

func main() {
	o := parse()
	// When a test dies, our output goes nowhere. Clean up all the same: a write
	// should fail and not end us.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "up: %v\n", err)
		os.Exit(1)
	}
}

func parse() options {
	var o options
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.StringVar(&o.bin, "bin", "", "")
	flag.StringVar(&o.dir, "dir", "", "")
	flag.IntVar(&o.apiserverPort, "apiserver-port", 0, "")
	flag.DurationVar(&o.timeout, "timeout", 2*time.Minute, "")
	flag.BoolVar(&o.untilStdin, "until-stdin-closes", false, "")
	flag.Func("apiserver-arg", "", func(arg string) error {
		if !strings.HasPrefix(arg, "-") {
			return errors.New("a flag begins with --")
		}
		o.apiserverArgs = append(o.apiserverArgs, arg)
		return nil
	})
	for _, arg := range os.Args[1:] {
		if arg == "-h" || arg == "--help" {
			fmt.Print(usage)
			os.Exit(0)
		}
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "up: what is %q? See --help.\n", flag.Arg(0))
		os.Exit(2)
	}
	if o.bin == "" {
		self, err := os.Executable()
		if err != nil {
			self = os.Args[0]
		}
		o.bin = filepath.Dir(self)
	}
	return o
}

// run is the life of a control plane. What it returns is what went wrong; to be
// told to stop is not wrong, however early.
func run(o options) (failure error) {
	s := &supervisor{options: o, signals: make(chan os.Signal, 4), stdin: make(chan struct{})}
	signal.Notify(s.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	if o.untilStdin {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(s.stdin)
		}()
	}
	sweep()
	var err error
	if s.layout, err = newLayout(o.dir); err != nil {
		return err
	}
	defer func() {
		s.stopAll()
		if err := s.layout.close(); err != nil && failure == nil {
			failure = err
		}
	}()

	began := time.Now()
	err = s.start()
	if err == nil {
		fmt.Fprintf(os.Stderr, "The control plane is up after %.1f s, in %s. Ctrl-C stops it.\n",
			time.Since(began).Seconds(), s.layout.dir)
		_, err = fmt.Print(
			export("KUBECONFIG", s.layout.file("admin.kubeconfig")),
			export("DYNAMO_CACHE_AUDIT_LOG", s.layout.file("audit.log")),
			export("DYNAMO_CACHE_CONTROL_PLANE_BIN", s.bin))
	}
	if err == nil {
		err = s.untilEnd()
	}
	if why, told := errors.AsType[toldToStop](err); told {
		fmt.Fprintf(os.Stderr, "Stopping: %s.\n", why)
		return nil
	}
	return err
}

// export is a line for a shell. What needs no quotes gets none, so that a
// program can cut the line at its "=".
func export(name, value string) string {
	safe := func(r rune) bool {
		return strings.ContainsRune("/._-+@:,", r) || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if strings.IndexFunc(value, func(r rune) bool { return !safe(r) }) >= 0 {
		value = "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	}
	return fmt.Sprintf("export %s=%s\n", name, value)
}
