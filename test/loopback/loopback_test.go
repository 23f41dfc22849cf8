package loopback_test

import (
	"net"
	"testing"

	"auditquery.dev/auditquery/test/loopback"
)

func TestPortsAreDifferentAndFree(t *testing.T) {
	ports, err := loopback.Ports(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] {
			t.Errorf("%d twice", port)
		}
		seen[port] = true
		listener, err := net.Listen("tcp", loopback.Address(port))
		if err != nil {
			t.Errorf("%d is not free: %v", port, err)
			continue
		}
		_ = listener.Close()
	}
	if len(seen) != 20 {
		t.Errorf("%d ports, want 20", len(seen))
	}
}
