// Command kube-apiserver is the API server, as Kubernetes publishes it in k8s.io/kubernetes.
package main

import (
	"os"
	_ "time/tzdata" // CronJobs name time zones, and the machine may have none

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"

	_ "k8s.io/component-base/logs/json/register" // makes --logging-format=json known
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
