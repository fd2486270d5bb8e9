// Command kubectl is the client that the tests and people use.
package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"

	_ "k8s.io/client-go/plugin/pkg/client/auth" // a kubeconfig for a real cluster may need one
)

func main() {
	// Not cli.Run: it would print an API error raw, and the tests read what a
	// user of kubectl reads.
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
