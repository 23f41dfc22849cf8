package record

import (
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// errBound: the decoder asks for more than one value may have.
var errBound = errors.New("value exceeds its bound")

// boundedReader refuses to go on beyond a point that moves with the decoder, so
// that one value cannot fill the memory.
type boundedReader struct {
	reader io.Reader
	read   int64
	limit  int64 // of read; 0 for none
	err    error // what reader said last
}

// allow lets the value that begins at offset have size bytes. What the decoder
// has read ahead counts.
func (b *boundedReader) allow(offset int64, size int) {
	// A little more for the space and punctuation around it.
	const around = 64
	b.limit = offset + int64(size) + around
	if b.limit <= b.read {
		b.limit = b.read + around
	}
}

func (b *boundedReader) unbound() { b.limit = 0 }

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.limit > 0 {
		left := b.limit - b.read
		if left <= 0 {
			return 0, errBound
		}
		if int64(len(p)) > left {
			p = p[:left]
		}
	}
	n, err := b.reader.Read(p)
	b.read += int64(n)
	b.err = err
	return n, err
}

// shallow tells whether JSON nests at most depth levels.
func shallow(data []byte, depth int) bool {
	level, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if level++; level > depth {
				return false
			}
		case c == '}' || c == ']':
			level--
		}
	}
	return true
}

// fieldOf writes a JSON pointer as a path: responseStatus.code.
func fieldOf(pointer jsontext.Pointer) string {
	var path []string
	for token := range pointer.Tokens() {
		path = append(path, clip(token))
	}
	if len(path) == 0 {
		return "the event"
	}
	return clip(strings.Join(path, "."))
}

func cutBytes(data []byte, limit int) []byte {
	if len(data) <= limit {
		return data
	}
	for limit > 0 && !utf8.RuneStart(data[limit]) {
		limit--
	}
	return data[:limit]
}
