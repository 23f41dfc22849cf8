package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/test/builders"
)

// nowhere takes everything and costs nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, *spool.Batch) error { return nil }
func (nowhere) Stats() spool.Stats                         { return spool.Stats{} }

// BenchmarkReceiver is what taking in one record costs client and receiver
// together, over TLS and HTTP/2, but for the disk.
func BenchmarkReceiver(b *testing.B) {
	const size = 400
	var events []any
	var records bytes.Buffer
	for i := range size {
		events = append(events, named(fmt.Sprint("n", i)))
		fmt.Fprintf(&records, `{"kind":"Audit","time":"2026-11-02T10:30:00.%06dZ","org_id":"org-1","user_id":"alice","actor_type":"Human",`+
			`"action":"update","outcome":"Success","response_code":200,"api_name":"applications","target_resource_type":"application",`+
			`"target_resource_name":"intranet","target_id":"app-%d","source_ip":"192.0.2.7","user_agent":"Mozilla/5.0",`+
			`"trace_id":"trace-%d","description":"alice updated the application intranet"}`+"\n", i, i, i)
	}
	for name, test := range map[string]struct {
		path, media string
		body        []byte
	}{
		"events":  {path: PathKubernetes + "prod", media: "application/json", body: builders.EventList(events...)},
		"records": {path: PathRecords, media: "application/x-ndjson", body: records.Bytes()},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, func(s *setting) { s.receiver.Spool = nowhere{} })
			b.SetBytes(int64(len(test.body)) / size)
			b.ReportAllocs()
			for n := 0; n < b.N; n += size {
				res, err := r.client.Post(r.url(test.path), test.media, bytes.NewReader(test.body))
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					b.Fatalf("answered %d", res.StatusCode)
				}
				r.known.mutex.Lock()
				clear(r.known.records)
				r.known.mutex.Unlock()
			}
		})
	}
}
