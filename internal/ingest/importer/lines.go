package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"auditquery.dev/auditquery/internal/record"
)

// MaxLineBytes is the length of a line of a file. A longer one is refused, and
// the next ones go on.
const MaxLineBytes = 4 << 20

// line is one line of a file.
type line struct {
	// number counts from 1.
	number int
	// data is the line without its end, or the first record.MaxExcerptBytes bytes of one
	// that is too long. It is good until the next line is read.
	data []byte
	// bytes is the length of the whole line.
	bytes int
	// tooLong says that the line has more than MaxLineBytes.
	tooLong bool
}

// lineReader reads lines of bounded length, compressed by gzip or not.
type lineReader struct {
	raw    *countingReader
	in     *bufio.Reader
	buffer []byte
	number int
}

// newLineReader looks at the first bytes for gzip's magic number and for a byte
// order mark.
func newLineReader(r io.Reader) (*lineReader, error) {
	raw := &countingReader{in: r}
	in := bufio.NewReaderSize(raw, 64<<10)
	magic, err := in.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.HasPrefix(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("it begins like gzip but is not: %w", err)
		}
		in = bufio.NewReaderSize(unpacked, 64<<10)
		if magic, err = in.Peek(3); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	if bytes.Equal(magic, []byte{0xef, 0xbb, 0xbf}) {
		_, _ = in.Discard(len(magic)) // they are in the buffer
	}
	return &lineReader{raw: raw, in: in}, nil
}

// next returns the next line; io.EOF after the last, which need not end with a
// newline.
func (l *lineReader) next() (line, error) {
	l.buffer = l.buffer[:0]
	current := line{number: l.number + 1}
	for {
		part, err := l.in.ReadSlice('\n')
		current.bytes += len(part)
		if room := MaxLineBytes + len("\r\n") - len(l.buffer); room > 0 {
			l.buffer = append(l.buffer, part[:min(room, len(part))]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil, errors.Is(err, io.EOF) && current.bytes > 0:
			l.number = current.number
			return l.finish(current), nil
		default:
			return line{number: current.number}, err
		}
	}
}

func (l *lineReader) finish(current line) line {
	current.data = l.buffer
	if trimmed := bytes.TrimRight(l.buffer, "\r\n"); len(l.buffer) == current.bytes {
		current.data, current.bytes = trimmed, len(trimmed)
	}
	if current.bytes > MaxLineBytes {
		current.tooLong = true
		current.data = current.data[:record.MaxExcerptBytes]
	}
	return current
}

// consumed is how many bytes of the file were read, packed as they are there.
func (l *lineReader) consumed() int64 { return l.raw.n }

type countingReader struct {
	in io.Reader
	n  int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += int64(n)
	return n, err
}
