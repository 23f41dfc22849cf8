package auditquery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
)

// digestFormat is changed when rows of the same records look different, so that
// a new version writes them anew.
const digestFormat = "1"

// stubPrefix begins the id of the one row that stands for all rows in the cache.
// No record's id begins so, and whoever cannot write a status cannot forge it.
const stubPrefix = "cached:"

// rowSet tells one set of rows from another, without the rows.
type rowSet struct {
	// digest is of the rows' kind and ids; empty when there are no rows. Rows
	// of the same ids are the same: records never change.
	digest string
	// bytes is the length of the rows' JSON.
	bytes int
}

func newRowSet(kind record.Kind, ids []string, bytes int) rowSet {
	if len(ids) == 0 {
		return rowSet{}
	}
	hash := sha256.New()
	hash.Write([]byte(digestFormat + "/" + string(kind)))
	for _, id := range ids {
		hash.Write([]byte("/" + id))
	}
	return rowSet{digest: hex.EncodeToString(hash.Sum(nil)[:16]), bytes: bytes}
}

// rowSetOf returns what is known of the rows in a status, be they whole or, as
// StripRows leaves them, a stub.
func rowSetOf(status *v1alpha1.AuditQueryStatus) rowSet {
	switch {
	case len(status.Audits) > 0:
		if set, ok := readStub(status.Audits[0].ID); ok {
			return set
		}
		ids := make([]string, 0, len(status.Audits))
		for i := range status.Audits {
			ids = append(ids, status.Audits[i].ID)
		}
		return newRowSet(record.KindAudit, ids, jsonLength(status.Audits))
	case len(status.AuthAudits) > 0:
		if set, ok := readStub(status.AuthAudits[0].ID); ok {
			return set
		}
		ids := make([]string, 0, len(status.AuthAudits))
		for i := range status.AuthAudits {
			ids = append(ids, status.AuthAudits[i].ID)
		}
		return newRowSet(record.KindAuthAudit, ids, jsonLength(status.AuthAudits))
	default:
		return rowSet{}
	}
}

func jsonLength(v any) int {
	data, err := json.Marshal(v)
	if err != nil {
		return MaxStatusBytes
	}
	return len(data)
}

func (s rowSet) stub() string { return stubPrefix + s.digest + ":" + strconv.Itoa(s.bytes) }

func readStub(id string) (rowSet, bool) {
	rest, ok := strings.CutPrefix(id, stubPrefix)
	if !ok {
		return rowSet{}, false
	}
	digest, length, _ := strings.Cut(rest, ":")
	bytes, err := strconv.Atoi(length)
	return rowSet{digest: digest, bytes: bytes}, err == nil
}

// StripRows is a transform for informers of AuditQuery and ClusterAuditQuery. It
// replaces the rows of a status, up to 256 KiB an object, by a stub from which
// the controller knows whether new rows differ. Managed fields go too.
func StripRows(obj any) (any, error) {
	q, ok := obj.(Object)
	if !ok {
		return obj, nil
	}
	q.SetManagedFields(nil)
	status := q.QueryStatus()
	set := rowSetOf(status)
	switch {
	case len(status.Audits) > 0:
		status.Audits = []v1alpha1.AuditRow{{ID: set.stub()}}
		status.AuthAudits = nil
	case len(status.AuthAudits) > 0:
		status.AuthAudits = []v1alpha1.AuthAuditRow{{ID: set.stub()}}
	}
	return q, nil
}

// CacheOptions are the options of a manager's cache that keep rows out of it. The
// controllers work without them, at the price of that memory.
func CacheOptions() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&v1alpha1.AuditQuery{}:        {Transform: StripRows},
		&v1alpha1.ClusterAuditQuery{}: {Transform: StripRows},
	}
}
