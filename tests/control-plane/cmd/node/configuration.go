package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// pauseImage is the name in the archive that tests/node/images/pause/build makes.
const pauseImage = "dynamo-cache.test/pause:latest"

// podRange is where pods get addresses from; its first is the node's.
const podRange = "198.18.0.0/24"

// containerdConfiguration is for containerd 2. The machine's own containerd, if it
// has one, shares nothing with it.
func (n *node) containerdConfiguration() string {
	return fmt.Sprintf(`version = 3
root = %[1]q
state = "/run/containerd"

[grpc]
address = %[2]q

[plugins."io.containerd.internal.v1.opt"]
path = %[3]q

[plugins."io.containerd.nri.v1.nri"]
disable = true

[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %[4]q

[plugins."io.containerd.cri.v1.runtime"]
# To lower an oom_score_adj takes CAP_SYS_RESOURCE, which a container that is
# itself the machine does not have.
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = %[5]q

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
`, n.file("containerd"), n.file("containerd.sock"), n.file("opt"), pauseImage, n.file("cni"))
}

// cniConfiguration attaches pods to the bridge. containerd adds loopback itself.
func cniConfiguration() string {
	return fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge",
    "bridge": %q,
    "isGateway": true,
    "hairpinMode": true,
    "ipam": {
      "type": "host-local",
      "dataDir": "/run/cni-addresses",
      "ranges": [[{"subnet": %q, "gateway": %q}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`, bridge, podRange, nodeAddress)
}

// kubeletConfiguration is for a machine whose disk, memory and cgroups are not
// the kubelet's to divide: nothing is evicted, no image is collected. It looks
// after its pods more often than once a minute, so that a change of a ConfigMap
// gets into them while a person, or a test, waits.
func (n *node) kubeletConfiguration() string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://%[1]s
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[2]s}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failCgroupV1: false
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
evictionHard: {}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
oomScoreAdj: 0
podLogsDir: %[3]s
syncFrequency: 2s
resolvConf: %[4]s
volumePluginDir: %[5]s
`, n.file("containerd.sock"), n.file("kubelet-ca.crt"), filepath.Join(n.logs, "pods"),
		n.file("resolv.conf"), n.file("volume-plugins"))
}

// configure writes what programs read when they start.
func (n *node) configure() error {
	if err := n.makeKubeletClient(); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"containerd.toml":   n.containerdConfiguration(),
		"cni/pods.conflist": cniConfiguration(),
		"kubelet.yaml":      n.kubeletConfiguration(),
		// There is no name server. Who asks is told so at once, and not after the
		// seconds that it takes to miss the machine's, which stands in for none.
		"resolv.conf": "nameserver 127.0.0.1\n",
	} {
		if err := os.MkdirAll(filepath.Dir(n.file(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(n.file(name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// planeFlags make the control plane one that has a node: pods reach the API
// server, and it reaches pods and the kubelet.
func (n *node) planeFlags() []string {
	flags := []string{"--bin=" + n.bin, "--dir=" + n.planeFile(""), "--timeout=" + n.timeout.String()}
	for _, flag := range []string{
		// Also on 127.0.0.1, where the kubeconfigs point.
		"--bind-address=0.0.0.0",
		"--advertise-address=" + nodeAddress,
		"--endpoint-reconciler-type=lease",
		// Webhooks are called at a pod's address, not at their Service's.
		"--enable-aggregator-routing=true",
		"--kubelet-client-certificate=" + n.file("kubelet-client.crt"),
		"--kubelet-client-key=" + n.file("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
	} {
		flags = append(flags, "--apiserver-arg="+flag)
	}
	return flags
}

func (n *node) planeFile(name string) string { return filepath.Join(n.logs, "control-plane", name) }

func (n *node) schedulerFlags() []string {
	return []string{
		"--kubeconfig=" + n.kubeconfig("kube-scheduler"),
		"--leader-elect=false",
		"--secure-port=0", // nobody asks it anything
	}
}

func (n *node) kubeletFlags() []string {
	return []string{
		"--config=" + n.file("kubelet.yaml"),
		"--kubeconfig=" + n.kubeconfig("kubelet"),
		"--hostname-override=" + nodeName,
	}
}

const proxyHealth = "127.0.0.1:10256"

func (n *node) proxyFlags() []string {
	return []string{
		"--kubeconfig=" + n.kubeconfig("kube-proxy"),
		"--hostname-override=" + nodeName,
		"--proxy-mode=nftables",
		// Without it an answer goes from pod to pod over the bridge, and past the
		// rules that would put the Service's address into it again, unless the
		// machine has br_netfilter.
		"--masquerade-all",
		"--healthz-bind-address=" + proxyHealth,
		"--metrics-bind-address=127.0.0.1:10249",
		// These settings are the machine's.
		"--conntrack-max-per-core=0",
		"--conntrack-min=0",
		"--conntrack-tcp-timeout-established=0s",
		"--conntrack-tcp-timeout-close-wait=0s",
	}
}

// forwards is nil when the rules for Services are there.
func forwards() error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}} // no proxy
	response, err := client.Get("http://" + proxyHealth + "/healthz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("kube-proxy answers %s", response.Status)
	}
	return nil
}
