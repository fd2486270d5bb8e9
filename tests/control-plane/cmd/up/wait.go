package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"dynamo-cache/tests/control-plane/internal/child"
)

// toldToStop is not a failure: a signal came, or standard input ended.
type toldToStop string

func (t toldToStop) Error() string { return string(t) }

// newClient trusts that authority alone, or speaks plain HTTP without one.
func newClient(authority []byte) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &http.Client{
		Timeout: 5 * time.Second,
		// No proxy, as the default transport may have: it could not reach our
		// 127.0.0.1.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
}

// ask is nil if the address answers 200.
func ask(client *http.Client, url, token string) error {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, response.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// await asks until there is no problem. It gives up when its time is over, when
// a child ends, or when we are told to stop. The log of c explains a delay.
func (s *supervisor) await(c *child.Child, problem func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := problem()
		if err == nil {
			return nil
		}
		if time.Now().After(s.deadline) {
			return fmt.Errorf("%s is not ready after %s: %w%s", c.Name, s.timeout, err, c.Tail())
		}
		if err := s.next(tick.C); err != nil {
			return err
		}
	}
}

// untilEnd stays until there is a reason to stop.
func (s *supervisor) untilEnd() error {
	for {
		if err := s.next(nil); err != nil {
			return err
		}
	}
}

// next lets one thing happen, and returns an error if it is a reason to stop.
func (s *supervisor) next(tick <-chan time.Time) error {
	select {
	case <-tick:
		return nil
	case <-s.etcd.Gone():
		return s.etcd.Ended()
	case <-s.apiserver.Gone():
		return s.apiserver.Ended()
	case <-s.manager.Gone():
		return s.manager.Ended()
	case <-s.stdin:
		return toldToStop("standard input has ended")
	case signal := <-s.signals:
		switch signal {
		case syscall.SIGUSR1:
			s.stopAPIServer(nil)
			return nil
		case syscall.SIGUSR2:
			return s.startAPIServer()
		}
		return toldToStop(signal.String())
	}
}
