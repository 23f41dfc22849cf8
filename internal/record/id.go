package record

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// ID is a record's identity: 128 bits, written as 32 hex digits. IDs are
// compared as bytes, which is also the order of their text.
type ID [16]byte

// identityVersion is part of every identity made from a Kubernetes event. It
// stays 1 for as long as the parts of the identity do.
const identityVersion = "1"

// ParseID reads 32 hex digits, in lower case as ids are written.
func ParseID(text string) (ID, error) {
	var id ID
	if err := id.UnmarshalText([]byte(text)); err != nil {
		return ID{}, err
	}
	return id, nil
}

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero tells whether no identity was given yet.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText returns the 32 hex digits.
func (id ID) MarshalText() ([]byte, error) {
	return hex.AppendEncode(make([]byte, 0, 2*len(id)), id[:]), nil
}

// UnmarshalText reads 32 lower-case hex digits.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 2*len(id) && !hasUpper(text) {
		if _, err := hex.Decode(id[:], text); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is not a record id; an id is 32 hex digits in lower case", clip(string(text)))
}

func hasUpper(text []byte) bool {
	for _, b := range text {
		if b >= 'A' && b <= 'Z' {
			return true
		}
	}
	return false
}

// Halves returns the id as two signed integers whose order, high before low, is
// the order of the id: the sign bits are flipped, since stores compare signed.
func (id ID) Halves() (high, low int64) {
	const sign = 1 << 63
	return int64(binary.BigEndian.Uint64(id[:8]) ^ sign), int64(binary.BigEndian.Uint64(id[8:]) ^ sign)
}

// identity collects length-prefixed parts, so that no two lists of parts give the
// same bytes, and hashes them.
type identity struct{ parts []byte }

func newIdentity() identity {
	const usual = 1024
	return identity{parts: make([]byte, 0, usual)}
}

func (i identity) text(part string) identity {
	i.parts = binary.BigEndian.AppendUint64(i.parts, uint64(len(part)))
	i.parts = append(i.parts, part...)
	return i
}

func (i identity) bytes(part []byte) identity {
	i.parts = binary.BigEndian.AppendUint64(i.parts, uint64(len(part)))
	i.parts = append(i.parts, part...)
	return i
}

func (i identity) time(t time.Time) identity {
	return i.integer(t.UnixMicro())
}

func (i identity) integer(n int64) identity {
	const size = 8
	i.parts = binary.BigEndian.AppendUint64(i.parts, size)
	i.parts = binary.BigEndian.AppendUint64(i.parts, uint64(n))
	return i
}

func (i identity) id() ID {
	sum := sha256.Sum256(i.parts)
	return ID(sum[:len(ID{})])
}

// BulkID is the identity of a record that its sender named. created is the
// sender's creation time.
func BulkID(kind Kind, sender, uniqueID string, created time.Time) ID {
	return newIdentity().text(string(kind)).text("bulk").text(identityVersion).
		text(sender).text(uniqueID).time(created).id()
}

// ContentID is the identity of a record that nobody named: its canonical
// content and the number of its occurrence (from 0) among equal ones of its
// file. Reading the same file again gives the same ids.
func ContentID(kind Kind, canonical []byte, occurrence int) ID {
	return newIdentity().text(string(kind)).text("content").text(identityVersion).
		bytes(canonical).integer(int64(occurrence)).id()
}
