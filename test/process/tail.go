package process

import (
	"bytes"
	"io"
	"os"
)

const (
	tailBytes = 8 << 10
	tailLines = 20
)

// Tail returns the last lines of the file at path, a bounded number of them.
func Tail(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	start := max(info.Size()-tailBytes, 0)
	content, err := io.ReadAll(io.NewSectionReader(file, start, tailBytes))
	if err != nil {
		return "", err
	}
	lines := bytes.Split(bytes.TrimRight(content, "\n"), []byte("\n"))
	if start > 0 && len(lines) > 1 {
		// The first line has lost its beginning.
		lines = lines[1:]
	}
	lines = lines[max(len(lines)-tailLines, 0):]
	return string(bytes.Join(lines, []byte("\n"))), nil
}
