package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// soReusePort is SO_REUSEPORT, which package syscall lacks on some platforms.
const soReusePort = 0xf

// port is a port of 127.0.0.1 that no one else gets while we live. We bind it
// and never listen; a child of the same user that also sets SO_REUSEPORT can
// then listen on it, today and when it is started again. To look for a free
// port, let it go and hope would fail once in a while, with tests side by side.
type port struct {
	number int
	socket int
}

// reservePort takes that port, or any free one if it is 0.
func reservePort(number int) (port, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return port{}, os.NewSyscallError("socket", err)
	}
	p := port{socket: socket}
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
		return p, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return p, fmt.Errorf("port %d of 127.0.0.1 cannot be had: %w", number, err)
	}
	address, err := syscall.Getsockname(socket)
	if err != nil {
		return p, os.NewSyscallError("getsockname", err)
	}
	p.number = address.(*syscall.SockaddrInet4).Port
	return p, nil
}

func (p port) String() string { return strconv.Itoa(p.number) }

func (p port) url(scheme string) string {
	return scheme + "://" + net.JoinHostPort("127.0.0.1", p.String())
}
