package spooltest

import (
	"io"
	"math/rand/v2"
	"slices"
	"syscall"
)

// inode is a file, whatever its name.
type inode struct {
	data []byte
	// durable is what a power cut leaves, before some of undone is redone.
	durable []byte
	// undone are the writes that are not durable.
	undone []edit
}

// edit is a write at an offset, or, when data is nil, a change of the length.
type edit struct {
	at   int64
	data []byte
}

func (e *edit) apply(to []byte) []byte {
	if e.data == nil {
		return resize(to, e.at)
	}
	to = resize(to, max(int64(len(to)), e.at+int64(len(e.data))))
	copy(to[e.at:], e.data)
	return to
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

func (n *inode) edit(e edit) {
	n.data = e.apply(n.data)
	n.undone = append(n.undone, e)
}

// half is the least that a disk writes or does not, half of a sector.
const half = 256

func (n *inode) powerCut(random *rand.Rand) {
	chance := random.Float64()
	for _, e := range n.undone {
		if e.data == nil {
			if random.Float64() < chance {
				n.durable = e.apply(n.durable)
			}
			continue
		}
		for start := int64(0); start < int64(len(e.data)); {
			end := min(int64(len(e.data)), start+half-(e.at+start)%half)
			if random.Float64() < chance {
				part := edit{at: e.at + start, data: e.data[start:end]}
				n.durable = part.apply(n.durable)
			}
			start = end
		}
	}
	n.undone = nil
	n.data = slices.Clone(n.durable)
}

// handle is an open file.
type handle struct {
	disk   *Disk
	life   int
	inode  *inode
	closed bool
}

// begin says whether the operation may be done. Disk.mu is held.
func (h *handle) begin(op Operation) error {
	if h.life != h.disk.life {
		return ErrPowerCut
	}
	if h.closed {
		return syscall.EBADF
	}
	return h.disk.next(op)
}

func (h *handle) ReadAt(p []byte, at int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.begin(Read); err != nil {
		return 0, err
	}
	if at >= int64(len(h.inode.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.inode.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes half of p when it is made to fail.
func (h *handle) WriteAt(p []byte, at int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	n := len(p)
	err := h.begin(Write)
	if h.life != h.disk.life || h.closed {
		return 0, err
	}
	if err != nil {
		n /= 2
	}
	grows := max(0, at+int64(n)-int64(len(h.inode.data)))
	if h.disk.capacity > 0 && grows > 0 {
		if room := max(0, h.disk.capacity-h.disk.used()); room < grows {
			n -= int(grows - room)
			err = syscall.ENOSPC
		}
	}
	if n > 0 {
		h.inode.edit(edit{at: at, data: slices.Clone(p[:n])})
	}
	return max(0, n), err
}

func (h *handle) Truncate(size int64) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.begin(Truncate); err != nil {
		return err
	}
	h.inode.edit(edit{at: size})
	return nil
}

func (h *handle) Sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.begin(Sync); err != nil {
		// The pages count as clean now, and are in memory only.
		h.inode.undone = nil
		return err
	}
	for _, e := range h.inode.undone {
		h.inode.durable = e.apply(h.inode.durable)
	}
	h.inode.undone = nil
	return nil
}

func (h *handle) Size() (int64, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.life != h.disk.life {
		return 0, ErrPowerCut
	}
	return int64(len(h.inode.data)), nil
}

func (h *handle) Close() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	h.closed = true
	return nil
}
