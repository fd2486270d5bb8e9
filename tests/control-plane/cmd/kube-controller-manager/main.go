// Command kube-controller-manager is the controller manager, as Kubernetes publishes it in k8s.io/kubernetes.
package main

import (
	"os"
	_ "time/tzdata" // CronJobs name time zones, and the machine may have none

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"

	_ "k8s.io/component-base/logs/json/register" // makes --logging-format=json known
)

func main() {
	os.Exit(cli.Run(app.NewControllerManagerCommand()))
}
