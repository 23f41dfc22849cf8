package elasticsearch

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files of a directory of credentials.
const (
	fileURL      = "url"
	fileUsername = "username"
	filePassword = "password"
	fileAPIKey   = "api-key"
	fileCA       = "ca.crt"
	// maxFile bounds one of them.
	maxFile = 1 << 20
)

// readConnection reads a mounted Secret. Kubernetes replaces the files of one
// together, by moving the link ..data: follow it once, so that no user name is
// paired with the password of another.
func readConnection(dir string) (Connection, error) {
	if target, err := filepath.EvalSymlinks(filepath.Join(dir, "..data")); err == nil {
		dir = target
	}
	content := map[string]string{}
	for _, name := range []string{fileURL, fileUsername, filePassword, fileAPIKey, fileCA} {
		text, err := readFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name != fileURL {
			continue
		}
		if err != nil {
			return Connection{}, fmt.Errorf("elasticsearch: read the file %q of the store's credentials: %w", name, err)
		}
		content[name] = text
	}
	return Connection{
		URLs:     strings.FieldsFunc(content[fileURL], func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' }),
		Username: content[fileUsername],
		Password: content[filePassword],
		APIKey:   content[fileAPIKey],
		CA:       []byte(content[fileCA]),
	}, nil
}

func readFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxFile {
		return "", fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	data, err := os.ReadFile(path)
	return strings.TrimSpace(string(data)), err
}

// fingerprint changes when anything of the connection does.
func (c Connection) fingerprint() [sha256.Size]byte {
	hash := sha256.New()
	for _, part := range append([]string{c.Username, c.Password, c.APIKey, string(c.CA)}, c.URLs...) {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

// encodedAPIKey takes both forms in which keys are handed out.
func (c Connection) encodedAPIKey() string {
	if strings.Contains(c.APIKey, ":") {
		return base64.StdEncoding.EncodeToString([]byte(c.APIKey))
	}
	return c.APIKey
}
