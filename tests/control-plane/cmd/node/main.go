// Command node runs a Kubernetes cluster of one node on this machine, control
// plane included, until it is told to stop. It needs root, and nothing outside
// of it changes: it has namespaces of its own for processes, mounts and the
// network, which the kernel takes down with the one process that holds them.
// There is therefore one way to end, and a crash takes it too.
//
//	main.go         the options, and which of three processes this is
//	up.go           the first, outside: starts the second, kills it, tidies up
//	init.go         the second, process 1 inside: makes the place, reaps
//	programs.go     the third: starts the programs in their order, and watches
//	mounts.go       what the node sees of the machine's files
//	capacity.go     how many processors it counts
//	network.go      its interfaces
//	cgroups.go      where the cgroups of its containers are
//	configuration.go
//	                flags and files of the programs
//	credentials.go  who they are to the API server
//	folder.go       the folder of one node: lock, sweep, down
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// nodeName is what the node is called in its cluster.
	nodeName = "node"
	// nodeAddress is where pods and the API server find each other. No real
	// network has addresses in 198.18.0.0/15.
	nodeAddress = "198.18.0.1"
)

type options struct {
	bin        string
	plane      string
	pause      string
	images     []string
	logs       string
	timeout    time.Duration
	untilStdin bool
	// dir is for the two processes inside.
	dir string
}

const usage = `Usage: node up [OPTIONS]
       node down [NAME...]

  --bin DIR               where the programs of Kubernetes are
  --control-plane FILE    the supervisor of the control plane
  --pause FILE            the image that holds a pod's namespaces
  --image FILE            load this docker-archive before the start; repeatable
  --logs DIR              a new or empty folder for logs, which is kept
  --timeout DURATION      how long to wait for the start (3m)
  --until-stdin-closes    also stop when standard input reaches its end

tests/node/up and tests/node/down call this.
`

func init() {
	// A child dies with the thread that started it (Pdeathsig), so that has to be
	// the one thread which lives as long as we do.
	runtime.LockOSThread()
}

func main() {
	// When a test dies, our output goes nowhere. Clean up all the same: a write
	// should fail and not end us.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	word := ""
	if len(os.Args) > 1 {
		word = os.Args[1]
	}
	var err error
	switch word {
	case "up":
		err = up(parse(os.Args[2:]))
	case "init":
		err = initialise(parse(os.Args[2:]))
	case "programs":
		err = programs(parse(os.Args[2:]))
	case "down":
		err = down(os.Args[2:])
	case "-h", "--help":
		fmt.Print(usage)
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		if !errors.Is(err, errTold) {
			fmt.Fprintf(os.Stderr, "node: %v\n", err)
		}
		os.Exit(1)
	}
}

// errTold is for what a process further in has said already.
var errTold = errors.New("told")

func parse(args []string) options {
	var o options
	flags := flag.NewFlagSet("node up", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprintln(flags.Output(), "See --help.") }
	flags.StringVar(&o.bin, "bin", "", "")
	flags.StringVar(&o.plane, "control-plane", "", "")
	flags.StringVar(&o.pause, "pause", "", "")
	flags.StringVar(&o.logs, "logs", "", "")
	flags.StringVar(&o.dir, "dir", "", "")
	flags.DurationVar(&o.timeout, "timeout", 3*time.Minute, "")
	flags.BoolVar(&o.untilStdin, "until-stdin-closes", false, "")
	flags.Func("image", "", func(file string) error {
		if _, err := os.Stat(file); err != nil {
			return errors.New("no such file; tests/node/image and tests/node/images/python/build make some")
		}
		o.images = append(o.images, file)
		return nil
	})
	flags.Parse(args)
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "node: what is %q? See --help.\n", strings.Join(flags.Args(), " "))
		os.Exit(2)
	}
	return o
}
