package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// credentials are what proves who is who in one control plane.
type credentials struct {
	// authority is the certificate, in PEM, that signed the API server's.
	authority  []byte
	adminToken string
}

// newCredentials makes all of them and writes them to the directory.
func newCredentials(l *layout, api port) (*credentials, error) {
	caKey, ca, err := certificate(l, "ca", nil, nil, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "dynamo-cache tests"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	if err != nil {
		return nil, err
	}
	if _, _, err = certificate(l, "apiserver", caKey, ca, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost", "kubernetes", "kubernetes.default",
			"kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(serviceFirst)},
	}); err != nil {
		return nil, err
	}
	if _, err = privateKey(l, "service-account"); err != nil {
		return nil, err
	}

	c := &credentials{
		authority:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}),
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

// certificate makes a key and a certificate over it, signed by its own key
// where there is no parent, and writes NAME.key and NAME.crt.
func certificate(l *layout, name string, parentKey *ecdsa.PrivateKey, parent, template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := privateKey(l, name)
	if err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parentKey, parent = key, template
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	// Earlier than now, for whoever looks at it with a clock a little behind.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	if err := l.write(name+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		return nil, nil, err
	}
	made, err := x509.ParseCertificate(der)
	return key, made, err
}

func privateKey(l *layout, name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// Not PKCS #8: the API server signs with such a key, but cannot read the
	// public half from the same file, by which it checks what it signed.
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, l.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
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
