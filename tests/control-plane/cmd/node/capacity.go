package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// processors is how many the node says it has. What runs here asks for what it
// would take with a real model, and takes next to nothing; on a machine of two
// processors half of it would stay Pending. The kubelet knows no such setting,
// it counts folders.
const processors = 16

// makeProcessors shows the kubelet a machine of that many. Containers see the
// real one, in a /sys of their own. Where the kernel tells nothing about memory
// and processors, it stays as it is.
func makeProcessors(dir string) error {
	const real = "/sys/devices/system/node"
	memory, err := os.ReadFile(filepath.Join(real, "node0/meminfo"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	shown := filepath.Join(dir, "processors")
	files := map[string]string{"meminfo": string(memory), "distance": "10\n"}
	for i := range processors {
		cpu := fmt.Sprintf("cpu%d/topology/", i)
		files[cpu+"core_id"] = strconv.Itoa(i)
		files[cpu+"physical_package_id"] = "0"
	}
	for name, content := range files {
		file := filepath.Join(shown, "node0", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	if err := mount(shown, real, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	return cover(filepath.Join(dir, "online"), fmt.Sprintf("0-%d\n", processors-1), "/sys/devices/system/cpu/online")
}
