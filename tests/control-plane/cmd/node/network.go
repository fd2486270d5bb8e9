package main

import (
	"fmt"
	"os/exec"
	"strings"
)

// bridge is the interface that pods are attached to.
const bridge = "node0"

// makeNetwork is what a node has before CNI comes: itself, and a bridge with the
// node's address. The default route leads nowhere, but without one the programs
// find no address of their own.
func makeNetwork() error {
	for _, line := range []string{
		"link set lo up",
		"link add " + bridge + " type bridge",
		"address add " + nodeAddress + "/24 dev " + bridge,
		"link set " + bridge + " up",
		"route add default dev " + bridge,
	} {
		if output, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(output)))
		}
	}
	return nil
}
