package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"os"

	"dynamo-cache/tests/control-plane/internal/certificate"
)

// kubeconfig is the file by which a program knows the API server; "admin" is the
// control plane's own.
func (n *node) kubeconfig(program string) string {
	if program == "admin" {
		return n.planeFile("admin.kubeconfig")
	}
	return n.file(program + ".kubeconfig")
}

// makeKubeletClient is for the API server as a client of the kubelet, for logs
// and exec. It needs it before it starts, so it is not signed by its own
// authority.
func (n *node) makeKubeletClient() error {
	authority, err := certificate.NewAuthority("kubelet clients")
	if err != nil {
		return err
	}
	client, err := authority.Issue(clientOf("kube-apiserver", "system:masters"))
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"kubelet-ca.crt": authority.Certificate, "kubelet-client.crt": client.Certificate, "kubelet-client.key": client.Key,
	} {
		if err := os.WriteFile(n.file(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// admit makes a program known to the API server as that user, and writes its
// kubeconfig.
func (n *node) admit(program, user, group string) error {
	var files [2][]byte
	for i, name := range []string{"ca.crt", "ca.key"} {
		var err error
		if files[i], err = os.ReadFile(n.planeFile(name)); err != nil {
			return err
		}
	}
	authority, err := certificate.Parse(files[0], files[1])
	if err != nil {
		return err
	}
	client, err := authority.Issue(clientOf(user, group))
	if err != nil {
		return err
	}
	server, err := n.server()
	if err != nil {
		return err
	}
	return os.WriteFile(n.kubeconfig(program), fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: tests
  cluster: {server: %q, certificate-authority: %q}
users:
- name: %[3]s
  user: {client-certificate-data: %[4]s, client-key-data: %[5]s}
contexts:
- name: tests
  context: {cluster: tests, user: %[3]s}
current-context: tests
`, server, n.planeFile("ca.crt"), program,
		base64.StdEncoding.EncodeToString(client.Certificate), base64.StdEncoding.EncodeToString(client.Key)), 0o600)
}

func clientOf(user, group string) *x509.Certificate {
	client := &x509.Certificate{
		Subject:     pkix.Name{CommonName: user},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if group != "" {
		client.Subject.Organization = []string{group}
	}
	return client
}
