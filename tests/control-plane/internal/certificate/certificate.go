// Package certificate makes keys and certificates. The control plane and the
// node share it.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// Pair is a certificate and its key.
type Pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// Both in PEM.
	Certificate, Key []byte
}

// NewAuthority makes a pair that can sign others.
func NewAuthority(name string) (*Pair, error) {
	return (*Pair)(nil).Issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
}

// Parse reads what an authority's files have.
func Parse(certificate, key []byte) (*Pair, error) {
	p := &Pair{Certificate: certificate, Key: key}
	var err error
	if p.certificate, err = x509.ParseCertificate(first(certificate)); err != nil {
		return nil, err
	}
	p.key, err = x509.ParseECPrivateKey(first(key))
	return p, err
}

// first is the content of the first block, or nothing, which no one can parse.
func first(content []byte) []byte {
	if block, _ := pem.Decode(content); block != nil {
		return block.Bytes
	}
	return nil
}

// Issue makes a pair that this one has signed, or itself where there is none.
func (authority *Pair) Issue(template *x509.Certificate) (*Pair, error) {
	key, encoded, err := NewKey()
	if err != nil {
		return nil, err
	}
	if authority == nil {
		authority = &Pair{certificate: template, key: key}
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	// Earlier than now, for whoever looks at it with a clock a little behind.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, authority.certificate, key.Public(), authority.key)
	if err != nil {
		return nil, err
	}
	p := &Pair{key: key, Key: encoded, Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	p.certificate, err = x509.ParseCertificate(der)
	return p, err
}

// NewKey makes a key, and writes it in PEM.
func NewKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	// Not PKCS #8: the API server signs with such a key, but cannot read the
	// public half from the same file, by which it checks what it signed.
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
