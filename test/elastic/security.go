package elastic

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"

	"auditquery.dev/auditquery/test/certs"
)

// username is a superuser of the file realm. The built-in `elastic` would need
// another JVM to set its password.
const username = "auditquery-admin"

const (
	hashIterations = 10000
	hashBytes      = 32
)

type security struct {
	ca       *certs.CA
	node     certs.Pair
	password string
	users    string
}

func newSecurity() (*security, error) {
	ca, err := certs.NewCA("auditquery-elasticsearch-ca")
	if err != nil {
		return nil, err
	}
	node, err := ca.IssuePeer("localhost", "127.0.0.1", "::1")
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	hash, err := hashPassword(password)
	if err != nil {
		return nil, err
	}
	return &security{ca: ca, node: node, password: password, users: username + ":" + hash + "\n"}, nil
}

// hashPassword writes a hash as the file realm reads it.
func hashPassword(password string) (string, error) {
	salt := make([]byte, hashBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	key, err := pbkdf2.Key(sha512.New, password, salt, hashIterations, hashBytes)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("{PBKDF2}%d$%s$%s", hashIterations,
		base64.StdEncoding.EncodeToString(salt), base64.StdEncoding.EncodeToString(key)), nil
}

// files go into each node's configuration directory.
func (s *security) files() map[string][]byte {
	return map[string][]byte{
		"ca.crt":      s.ca.CertPEM(),
		"node.crt":    s.node.CertPEM,
		"node.key":    s.node.KeyPEM,
		"users":       []byte(s.users),
		"users_roles": []byte("superuser:" + username + "\n"),
	}
}

func (s *security) settings() map[string]any {
	settings := map[string]any{
		"xpack.security.transport.ssl.verification_mode": "full",
		"xpack.security.authc.api_key.enabled":           true,
	}
	for _, layer := range []string{"http", "transport"} {
		prefix := "xpack.security." + layer + ".ssl."
		settings[prefix+"enabled"] = true
		settings[prefix+"certificate"] = "node.crt"
		settings[prefix+"key"] = "node.key"
		settings[prefix+"certificate_authorities"] = []string{"ca.crt"}
	}
	return settings
}
