package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dynamo-cache/tests/control-plane/internal/child"
)

// node is what runs inside.
type node struct {
	options
	// logs is the folder for logs, and for what a person may want to read.
	logs     string
	deadline time.Time
	// ended gets every program that ends. None is meant to.
	ended chan *child.Child
}

// programs starts the programs of the cluster, each when the one it needs works,
// says so, and stays until one of them ends.
func programs(o options) error {
	began := time.Now()
	n := &node{options: o, logs: o.dir, deadline: began.Add(o.timeout), ended: make(chan *child.Child, 8)}
	if o.logs != "" {
		var err error
		if n.logs, err = filepath.Abs(o.logs); err != nil {
			return err
		}
		if err := os.MkdirAll(n.logs, 0o700); err != nil {
			return err
		}
		if entries, err := os.ReadDir(n.logs); err != nil || len(entries) > 0 {
			return errors.Join(fmt.Errorf("%s is not empty; name a new folder for logs, or delete it", n.logs), err)
		}
	}
	environment, err := n.start()
	if err != nil {
		return err
	}
	// A place for volumes that goes when the node goes.
	if err := os.Mkdir(n.file("volumes"), 0o755); err != nil {
		return err
	}
	environment += "export DYNAMO_CACHE_NODE=" + filepath.Base(o.dir) + "\n" +
		"export DYNAMO_CACHE_NODE_VOLUMES=" + n.file("volumes") + "\n"
	if err := os.WriteFile(n.file("environment"), []byte(environment), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "The node is up after %.1f s, in %s. Ctrl-C stops it.\n", time.Since(began).Seconds(), o.dir)
	fmt.Print(environment)
	return (<-n.ended).Ended()
}

func (n *node) file(name string) string { return filepath.Join(n.dir, name) }

// start brings everything up, and returns lines for a shell.
func (n *node) start() (environment string, err error) {
	if err := n.configure(); err != nil {
		return "", err
	}
	// From the PATH, where its shim, ctr and runc are too.
	containerd, err := n.launch("containerd", "--config="+n.file("containerd.toml"))
	if err != nil {
		return "", err
	}
	plane, err := n.launch(n.plane, n.planeFlags()...)
	if err != nil {
		return "", err
	}
	if err := n.await(containerd, func() error { return n.ctr("version") }); err != nil {
		return "", err
	}
	for _, image := range append([]string{n.pause}, n.images...) {
		if err := n.ctr("images", "import", image); err != nil {
			return "", fmt.Errorf("%s cannot be loaded, a docker-archive is wanted: %w", image, err)
		}
	}
	if err := n.await(plane, func() error { environment, err = exports(plane.Log()); return err }); err != nil {
		return "", err
	}

	for _, who := range []struct{ program, user, group string }{
		{"kubelet", "system:node:" + nodeName, "system:nodes"},
		{"kube-proxy", "system:kube-proxy", ""},
		{"kube-scheduler", "system:kube-scheduler", ""},
	} {
		if err := n.admit(who.program, who.user, who.group); err != nil {
			return "", err
		}
	}
	if _, err = n.launch(filepath.Join(n.bin, "kube-scheduler"), n.schedulerFlags()...); err != nil {
		return "", err
	}
	kubelet, err := n.launch(filepath.Join(n.bin, "kubelet"), n.kubeletFlags()...)
	if err != nil {
		return "", err
	}
	if err := n.await(kubelet, n.ready); err != nil {
		return "", err
	}
	// It gives up where the node is not known yet.
	proxy, err := n.launch(filepath.Join(n.bin, "kube-proxy"), n.proxyFlags()...)
	if err != nil {
		return "", err
	}
	return environment, n.await(proxy, forwards)
}

// launch starts a program, whose end will be noticed.
func (n *node) launch(program string, args ...string) (*child.Child, error) {
	c, err := child.Start(n.logs, program, 0, args...)
	if err == nil {
		go func() { <-c.Gone(); n.ended <- c }()
	}
	return c, err
}

// await asks until there is no problem. It gives up when its time is over or a
// program ends. The log of c explains a delay.
func (n *node) await(c *child.Child, problem func() error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := problem()
		if err == nil {
			return nil
		}
		if time.Now().After(n.deadline) {
			return fmt.Errorf("%s is not ready after %s: %w%s", c.Name, n.timeout, err, c.Tail())
		}
		select {
		case gone := <-n.ended:
			return gone.Ended()
		case <-tick.C:
		}
	}
}

func (n *node) ctr(args ...string) error {
	return quiet(exec.Command("ctr", append([]string{
		"--address=" + n.file("containerd.sock"), "--namespace=k8s.io"}, args...)...))
}

// ready is nil when the node takes pods: the kubelet says so, and the controller
// manager has heard it.
func (n *node) ready() error {
	output, err := exec.Command(filepath.Join(n.bin, "kubectl"), "--kubeconfig="+n.kubeconfig("admin"),
		"get", "node", nodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}{.spec.taints}`).CombinedOutput()
	if err != nil || !strings.Contains(string(output), `"status":"True"`) || strings.Contains(string(output), "NoSchedule") {
		return errors.New(strings.TrimSpace(string(output)))
	}
	return nil
}

// exports are the lines that the control plane prints when it works.
func exports(log string) (string, error) {
	content, err := os.ReadFile(log)
	if err != nil {
		return "", err
	}
	var lines string
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "export ") && strings.HasSuffix(line, "\n") {
			lines += line
		}
	}
	if !strings.Contains(lines, "DYNAMO_CACHE_CONTROL_PLANE_BIN=") {
		return "", errors.New("the control plane still starts")
	}
	return lines, nil
}

// quiet runs a command, whose output is of interest only where it fails.
func quiet(command *exec.Cmd) error {
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// server is the address of the API server, from the control plane's kubeconfig.
func (n *node) server() (string, error) {
	content, err := os.ReadFile(n.kubeconfig("admin"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(content)) {
		if url, found := strings.CutPrefix(strings.TrimSpace(line), "server: "); found {
			return url, nil
		}
	}
	return "", fmt.Errorf("%s names no server", n.kubeconfig("admin"))
}
