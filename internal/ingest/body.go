package ingest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"auditquery.dev/auditquery/internal/ingest/budget"
)

const (
	// MaxBodyBytes bounds a body, as it comes and uncompressed. kube-apiserver
	// sends 400 events at once, some 2 kB each at the level Metadata.
	MaxBodyBytes = 64 << 20

	// maxRatio bounds how much larger a body becomes when it is uncompressed;
	// the first ratioFree bytes are free. Audit records reach 30.
	maxRatio  = 200
	ratioFree = 1 << 20
	// maxWindow is how far back zstd may refer: what its format asks every
	// decoder to take. The decoder holds so much, and its tables.
	maxWindow   = 8 << 20
	zstdTables  = 512 << 10
	zstdReading = 16 << 10
)

// encodingError: what was announced as gzip or zstd is none.
type encodingError struct {
	name string
	err  error
}

func (e *encodingError) Error() string { return "it is no valid " + e.name }

func (e *encodingError) Unwrap() error { return e.err }

// acceptable checks a request's headers. Nothing of the body has been read.
func acceptable(req *http.Request, mediaTypes []string) error {
	mediaType, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(mediaTypes, mediaType) {
		return &refusedError{reason: refusedContentType, status: http.StatusUnsupportedMediaType,
			message: fmt.Sprintf("the Content-Type must be one of %q", mediaTypes)}
	}
	switch req.Header.Get("Content-Encoding") {
	case "", "identity", "gzip", "zstd":
	default:
		return &refusedError{reason: refusedContentType, status: http.StatusUnsupportedMediaType,
			message: "the Content-Encoding must be gzip or zstd, or absent"}
	}
	if req.ContentLength > MaxBodyBytes {
		return errTooLarge()
	}
	return nil
}

// openBody returns a request's body, uncompressed and bounded, as a meter of the
// delivery that it is for. done gives back what reading it takes.
func openBody(ctx context.Context, w http.ResponseWriter, req *http.Request, d *delivery) (m *meter, done func(), err error) {
	raw := &counted{reader: http.MaxBytesReader(w, req.Body, MaxBodyBytes)}
	m = &meter{grow: func(element int64) error {
		d.element = max(d.element, elementMemory(element))
		return d.hold(ctx)
	}}
	switch encoding := req.Header.Get("Content-Encoding"); encoding {
	case "gzip":
		reader, err := gzip.NewReader(bufio.NewReader(raw))
		if err != nil {
			return nil, nil, raw.failure(encoding, err)
		}
		m.reader = &uncompressed{name: encoding, source: raw, reader: reader}
		return m, func() { _ = reader.Close() }, nil
	case "zstd":
		reader, err := openZstd(ctx, raw, d)
		if err != nil {
			return nil, nil, err
		}
		m.reader = &uncompressed{name: encoding, source: raw, reader: reader}
		return m, reader.Close, nil
	default:
		m.reader = raw
		return m, func() {}, nil
	}
}

// openZstd charges for the window that the body asks for before it is made.
func openZstd(ctx context.Context, raw *counted, d *delivery) (*zstd.Decoder, error) {
	source := bufio.NewReaderSize(raw, zstdReading)
	start, err := source.Peek(zstd.HeaderMaxSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, raw.failure("zstd", err)
	}
	var header zstd.Header
	if err := header.Decode(start); err != nil {
		return nil, raw.failure("zstd", err)
	}
	window := header.WindowSize
	if header.SingleSegment {
		window = header.FrameContentSize
	}
	if header.Skippable {
		window = maxWindow
	}
	if window > maxWindow {
		return nil, &refusedError{reason: refusedTooLarge, status: http.StatusRequestEntityTooLarge,
			message: fmt.Sprintf("the body's zstd window has %d bytes, at most %d are taken: compress it less", window, maxWindow)}
	}
	d.fixed += int64(window) + zstdTables
	if err := d.hold(ctx); err != nil {
		return nil, err
	}
	return zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(max(window, zstd.MinWindowSize)))
}

// counted is a body as it comes. It remembers its own failure, which a
// decompressor may hide.
type counted struct {
	reader io.Reader
	read   int64
	err    error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	c.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// failure blames a decompressor's error on the body or on its transport.
func (c *counted) failure(encoding string, err error) error {
	if c.err != nil {
		return c.err
	}
	return &encodingError{name: encoding, err: err}
}

// uncompressed bounds what comes out of a decompressor.
type uncompressed struct {
	name   string
	source *counted
	reader io.Reader
	read   int64
}

func (u *uncompressed) Read(p []byte) (int, error) {
	n, err := u.reader.Read(p)
	u.read += int64(n)
	switch {
	case u.read > MaxBodyBytes:
		return 0, errTooLarge()
	case u.read > ratioFree && u.read > maxRatio*u.source.read:
		return 0, &refusedError{reason: refusedTooLarge, status: http.StatusRequestEntityTooLarge,
			message: fmt.Sprintf("the body is more than %d times as large uncompressed; what came whole before is stored", maxRatio)}
	case err != nil && !errors.Is(err, io.EOF):
		return n, u.source.failure(u.name, err)
	}
	return n, err
}

// meter measures the element that a decoder is reading. The decoder holds it as
// far as it has come, so from a certain size on more of it is read only once grow
// has charged for it.
type meter struct {
	reader io.Reader
	grow   func(element int64) error
	// element is how much came since the last element ended, what was read
	// ahead of this one's beginning not counted.
	element int64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.element > budget.Free {
		if err := m.grow(m.element); err != nil {
			return 0, err
		}
	}
	n, err := m.reader.Read(p)
	m.element += int64(n)
	return n, err
}

// next says that an element has ended.
func (m *meter) next() { m.element = 0 }

// elementMemory is what an element of so many bytes takes: as it came, decoded,
// and as a record. One that is too large is not decoded.
func elementMemory(bytes int64) int64 {
	return bytes + 2*min(bytes, maxElementBytes)
}
