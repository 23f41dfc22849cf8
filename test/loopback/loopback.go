// Package loopback finds free ports on 127.0.0.1 for servers that cannot be
// told to choose one themselves.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	// Ports are drawn below the ranges from which systems take the local ports
	// of outgoing connections (32768 and up on Linux, 49152 and up elsewhere): a
	// server that is restarted on its port must not find a client there.
	lowest  = 15000
	highest = 32000
	// attempts bounds the search on a machine that is full of listeners.
	attempts = 200
)

// Ports returns count different ports on which nobody listens right now. They
// are drawn at random, so that processes that ask at once rarely collide.
func Ports(count int) ([]int, error) {
	ports := make([]int, 0, count)
	// All listeners stay open until the last port is found, so none is found twice.
	listeners := make([]net.Listener, 0, count)
	defer func() {
		for _, listener := range listeners {
			_ = listener.Close()
		}
	}()
	var last error
	for tries := 0; len(ports) < count; tries++ {
		if tries == attempts+count {
			return nil, fmt.Errorf("find %d free ports on 127.0.0.1 in %d..%d: %w", count, lowest, highest, last)
		}
		port := lowest + rand.IntN(highest-lowest)
		listener, err := net.Listen("tcp", Address(port))
		if err != nil {
			last = err
			continue
		}
		listeners = append(listeners, listener)
		ports = append(ports, port)
	}
	return ports, nil
}

// Address is port's address on 127.0.0.1.
func Address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
