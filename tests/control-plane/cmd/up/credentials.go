package main

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net"

	"dynamo-cache/tests/control-plane/internal/certificate"
)

// credentials are what proves who is who in one control plane.
type credentials struct {
	// authority is the certificate, in PEM, that signed the API server's.
	authority  []byte
	adminToken string
}

// newCredentials makes all of them and writes them to the directory.
func newCredentials(l *layout, api port) (*credentials, error) {
	authority, err := certificate.NewAuthority("dynamo-cache tests")
	if err != nil {
		return nil, err
	}
	server, err := authority.Issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost", "kubernetes", "kubernetes.default",
			"kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(serviceFirst)},
	})
	if err != nil {
		return nil, err
	}
	_, serviceAccount, err := certificate.NewKey()
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{
		"ca.crt":              authority.Certificate,
		"ca.key":              authority.Key,
		"apiserver.crt":       server.Certificate,
		"apiserver.key":       server.Key,
		"service-account.key": serviceAccount,
	} {
		if err = l.write(name, content); err != nil {
			return nil, err
		}
	}

	c := &credentials{
		authority:  authority.Certificate,
		adminToken: rand.Text(),
	}
	managerToken := rand.Text()
	tokens := c.adminToken + ",admin,admin,system:masters\n" +
		managerToken + ",system:kube-controller-manager,manager\n"
	if err = l.write("tokens.csv", []byte(tokens)); err != nil {
		return nil, err
	}
	if err = l.write("admin.kubeconfig", c.kubeconfig(api, c.adminToken)); err != nil {
		return nil, err
	}
	return c, l.write("controller-manager.kubeconfig", c.kubeconfig(api, managerToken))
}

func (c *credentials) kubeconfig(api port, token string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: tests
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: tests
  user:
    token: %s
contexts:
- name: tests
  context: {cluster: tests, user: tests, namespace: default}
current-context: tests
`, api.url("https"), base64.StdEncoding.EncodeToString(c.authority), token)
}
