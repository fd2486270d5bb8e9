package main

// The flags exist from Kubernetes 1.33 on, and with etcd from 3.5 on.

const (
	// serviceRange and its first address, which the API server gives itself. No
	// real network has addresses in 198.18.0.0/15, and no one is asked for them.
	serviceRange = "198.19.0.0/24"
	serviceFirst = "198.19.0.1"

	// issuer is the name that tokens of ServiceAccounts carry.
	issuer = "https://kubernetes.default.svc.cluster.local"
)

// auditPolicy records who wrote which pod and what each webhook told about it,
// and all that the webhook itself asks; the level Metadata has their
// annotations. All else is noise to the tests.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - group: ""
    resources: [pods, pods/*]
- level: Metadata
  users: ["system:serviceaccount:dynamo-cache:dynamo-cache"]
- level: None
`

func (s *supervisor) etcdFlags() []string {
	client, peer := s.clientPort.url("http"), s.peerPort.url("http")
	return []string{
		"--name=tests",
		"--data-dir=" + s.layout.file("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=tests=" + peer,
		"--socket-reuse-port", // see port.go
		"--unsafe-no-fsync",   // nobody needs the data after a power cut
	}
}

func (s *supervisor) apiserverFlags() []string {
	flags := []string{
		"--bind-address=127.0.0.1",
		// Said, as it otherwise looks for an address of the machine, which a
		// machine without a network has not.
		"--advertise-address=127.0.0.1",
		// A loopback address is no endpoint for the Service "kubernetes".
		"--endpoint-reconciler-type=none",
		"--secure-port=" + s.securePort.String(),
		"--permit-port-sharing", // see port.go
		"--tls-cert-file=" + s.layout.file("apiserver.crt"),
		"--tls-private-key-file=" + s.layout.file("apiserver.key"),
		"--client-ca-file=" + s.layout.file("ca.crt"),
		"--token-auth-file=" + s.layout.file("tokens.csv"),
		"--authorization-mode=Node,RBAC",
		// As in a cluster by kubeadm, where node agents may run privileged pods.
		"--allow-privileged",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + s.layout.file("service-account.key"),
		"--service-account-signing-key-file=" + s.layout.file("service-account.key"),
		"--service-cluster-ip-range=" + serviceRange,
		"--etcd-servers=" + s.clientPort.url("http"),
		"--audit-policy-file=" + s.layout.file("audit-policy.yaml"),
		// Blocking, which is the default for a log: who got an answer from the
		// API server finds the event in the file.
		"--audit-log-path=" + s.layout.file("audit.log"),
		"--audit-log-mode=blocking",
		// Without it an open watch, and the controller manager has many, holds up
		// the end of the API server for a minute.
		"--shutdown-watch-termination-grace-period=2s",
	}
	return append(flags, s.apiserverArgs...)
}

func (s *supervisor) managerFlags() []string {
	return []string{
		"--kubeconfig=" + s.layout.file("controller-manager.kubeconfig"),
		"--secure-port=0", // nobody asks it anything
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + s.layout.file("service-account.key"),
		"--root-ca-file=" + s.layout.file("ca.crt"),
		"--cluster-signing-cert-file=" + s.layout.file("ca.crt"),
		"--cluster-signing-key-file=" + s.layout.file("ca.key"),
		// The default of 20 a second makes a test with a hundred pods wait.
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	}
}
