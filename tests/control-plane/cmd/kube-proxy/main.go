// Command kube-proxy is the Service proxy of a node, as Kubernetes publishes it in k8s.io/kubernetes.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-proxy/app"

	_ "k8s.io/component-base/logs/json/register" // makes --logging-format=json known
)

func main() {
	os.Exit(cli.Run(app.NewProxyCommand()))
}
