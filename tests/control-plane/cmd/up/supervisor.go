package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"dynamo-cache/tests/control-plane/internal/child"
)

// supervisor runs the three programs. A program that is not running, or not
// meant to, is nil.
type supervisor struct {
	options
	layout   *layout
	keys     *credentials
	signals  chan os.Signal
	stdin    chan struct{}
	deadline time.Time

	etcd, apiserver, manager         *child.Child
	clientPort, peerPort, securePort port
}

// start brings the programs up, each when the one it needs works.
func (s *supervisor) start() (err error) {
	s.deadline = time.Now().Add(s.timeout)
	if s.clientPort, err = reservePort(0); err != nil {
		return err
	}
	if s.peerPort, err = reservePort(0); err != nil {
		return err
	}
	if s.securePort, err = reservePort(s.apiserverPort); err != nil {
		return err
	}
	if s.keys, err = newCredentials(s.layout, s.securePort); err != nil {
		return err
	}
	// Made here, so that a test can open it before the first event.
	if err = s.layout.write("audit.log", nil); err != nil {
		return err
	}
	if err = s.layout.write("audit-policy.yaml", []byte(auditPolicy)); err != nil {
		return err
	}

	if s.etcd, err = child.Start(s.layout.dir, filepath.Join(s.bin, "etcd"), 5*time.Second, s.etcdFlags()...); err != nil {
		return err
	}
	plain := newClient(nil)
	if err = s.await(s.etcd, func() error { return ask(plain, s.clientPort.url("http")+"/health", "") }); err != nil {
		return err
	}

	if err = s.startAPIServer(); err != nil {
		return err
	}
	client := newClient(s.keys.authority)
	if err = s.await(s.apiserver, s.answers(client, "/readyz")); err != nil {
		return err
	}

	if s.manager, err = child.Start(s.layout.dir, filepath.Join(s.bin, "kube-controller-manager"), 5*time.Second, s.managerFlags()...); err != nil {
		return err
	}
	// Made by the controller manager: without it no pod can be created. It is
	// also the sign that the controllers work.
	return s.await(s.manager, s.answers(client, "/api/v1/namespaces/default/serviceaccounts/default"))
}

func (s *supervisor) answers(client *http.Client, path string) func() error {
	return func() error { return ask(client, s.securePort.url("https")+path, s.keys.adminToken) }
}

func (s *supervisor) startAPIServer() (err error) {
	if s.apiserver != nil {
		return nil
	}
	s.apiserver, err = child.Start(s.layout.dir, filepath.Join(s.bin, "kube-apiserver"), 10*time.Second, s.apiserverFlags()...)
	return err
}

func (s *supervisor) stopAPIServer(hurry <-chan struct{}) {
	s.apiserver.Stop(hurry)
	s.apiserver = nil
}

// stopAll stops what runs, the API server first: once etcd is gone it does not
// end on SIGTERM. A second signal means now.
func (s *supervisor) stopAll() {
	hurry := make(chan struct{})
	go func() {
		<-s.signals
		fmt.Fprintln(os.Stderr, "Stopping at once.")
		close(hurry)
	}()
	s.stopAPIServer(hurry)
	s.manager.Stop(hurry)
	s.etcd.Stop(hurry)
}
