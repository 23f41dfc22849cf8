package rest

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// answer is a page, ready to be sent.
type answer struct {
	endpoint  *endpoint
	limit     int
	documents [][]byte
}

const tail = "]}\n"

func (a answer) head() string {
	return `{"limit":` + strconv.Itoa(a.limit) + `,"` + a.endpoint.list + `":[`
}

// length is the answer's size in bytes.
func (a answer) length() int {
	n := len(a.head()) + len(tail) + max(len(a.documents)-1, 0)
	for _, document := range a.documents {
		n += len(document)
	}
	return n
}

// splice writes the answer; the documents are not looked into.
func (a answer) splice(w io.Writer) error {
	if _, err := io.WriteString(w, a.head()); err != nil {
		return err
	}
	for i, document := range a.documents {
		if i > 0 {
			if _, err := io.WriteString(w, ","); err != nil {
				return err
			}
		}
		if _, err := w.Write(document); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, tail)
	return err
}

const (
	// minCompressed is the size from which an answer is compressed if the
	// client asks for it. Below it the time costs more than the bytes; the
	// kube-apiserver draws the line at the same size.
	minCompressed = 128 << 10
	// chunkBytes is how much is gathered before it is written: a document at a
	// time would be a record of TLS each, the whole answer a second copy.
	chunkBytes = 64 << 10
	// maxKept is the largest compressed answer whose buffer is kept.
	maxKept = 1 << 20
)

// buffers are what answers are written through, kept from one to the next.
type buffers struct {
	chunks      sync.Pool
	compressors sync.Pool
}

type compressor struct {
	gzip *gzip.Writer
	out  bytes.Buffer
}

func newBuffers() *buffers {
	return &buffers{
		chunks: sync.Pool{New: func() any { return &chunk{data: make([]byte, 0, chunkBytes)} }},
		compressors: sync.Pool{New: func() any {
			c := &compressor{}
			// The level is valid, which is all that can be wrong.
			c.gzip, _ = gzip.NewWriterLevel(&c.out, gzip.BestSpeed)
			return c
		}},
	}
}

// write sends the answer and returns its size before compression. All of it is
// in memory, so nothing but a client that went away can stop it halfway.
func (b *buffers) write(w http.ResponseWriter, r *http.Request, a answer) int {
	length := a.length()
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Add("Vary", "Accept-Encoding")
	head := r.Method == http.MethodHead
	if length >= minCompressed && acceptsGzip(r.Header.Values("Accept-Encoding")) {
		b.writeCompressed(w, a, head)
		return length
	}
	header.Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(http.StatusOK)
	if !head {
		b.writePlain(w, a)
	}
	return length
}

func (b *buffers) writePlain(w io.Writer, a answer) {
	c := b.chunks.Get().(*chunk)
	c.to = w
	if err := a.splice(c); err == nil {
		_ = c.flush() // a client that went away can't be told
	}
	c.to = nil
	b.chunks.Put(c)
}

// writeCompressed compresses all of the answer before the first byte is sent, so
// that it too has a length.
func (b *buffers) writeCompressed(w http.ResponseWriter, a answer, head bool) {
	c := b.compressors.Get().(*compressor)
	c.out.Reset()
	c.gzip.Reset(&c.out)
	// Writing to a bytes.Buffer does not fail.
	_ = a.splice(c.gzip)
	_ = c.gzip.Close()
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Length", strconv.Itoa(c.out.Len()))
	w.WriteHeader(http.StatusOK)
	if !head {
		_, _ = w.Write(c.out.Bytes()) // a client that went away can't be told
	}
	if c.out.Cap() <= maxKept {
		b.compressors.Put(c)
	}
}

// chunk gathers small writes; large ones pass.
type chunk struct {
	to   io.Writer
	data []byte
}

func (c *chunk) Write(p []byte) (int, error) {
	if len(c.data)+len(p) > cap(c.data) {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > cap(c.data) {
		return c.to.Write(p)
	}
	c.data = append(c.data, p...)
	return len(p), nil
}

func (c *chunk) flush() error {
	_, err := c.to.Write(c.data)
	c.data = c.data[:0]
	return err
}

// acceptsGzip reads Accept-Encoding: gzip must be named, and not with q=0.
func acceptsGzip(fields []string) bool {
	for _, field := range fields {
		for coding := range strings.SplitSeq(field, ",") {
			name, parameters, _ := strings.Cut(coding, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				return !isZeroQuality(parameters)
			}
		}
	}
	return false
}

func isZeroQuality(parameters string) bool {
	name, value, ok := strings.Cut(strings.TrimSpace(parameters), "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return false
	}
	quality, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return err != nil || quality <= 0
}
