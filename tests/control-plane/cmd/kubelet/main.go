// Command kubelet is the node agent, as Kubernetes publishes it in k8s.io/kubernetes.
package main

import (
	"context"
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kubelet/app"

	_ "k8s.io/component-base/logs/json/register" // makes --logging-format=json known
)

func main() {
	os.Exit(cli.Run(app.NewKubeletCommand(context.Background())))
}
