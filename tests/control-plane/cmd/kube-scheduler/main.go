// Command kube-scheduler is the scheduler, as Kubernetes publishes it in k8s.io/kubernetes.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"

	_ "k8s.io/component-base/logs/json/register" // makes --logging-format=json known
)

func main() {
	os.Exit(cli.Run(app.NewSchedulerCommand()))
}
