package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/elastic"
)

const handIndex = "by-hand"

// handMapping is what a person writes who knows Elasticsearch: exact types, and
// details kept unindexed as ours are. The documents are the records as JSON,
// id and all, without what our store adds.
const handMapping = `{
  "settings": {"number_of_shards": 1, "number_of_replicas": 0},
  "mappings": {
    "dynamic_templates": [{"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}],
    "properties": {
      "id": {"type": "keyword"},
      "time": {"type": "date_nanos"},
      "ingest_time": {"type": "date_nanos"},
      "source_ip": {"type": "ip"},
      "response_code": {"type": "long"},
      "description": {"type": "text"},
      "details": {"type": "object", "enabled": false}
    }
  }
}`

// handQuery asks for the newest page of the month, of which hits are tracked as
// Elasticsearch does unless it is told not to: up to 10,000.
const handQuery = `{
  "size": %d,
  "query": {"bool": {"filter": [{"range": {"time": {"gte": %q, "lt": %q}}}]}},
  "sort": [{"time": "desc"}, {"id": "desc"}]
}`

// handWritten is an index and the client of a person who writes the obvious.
type handWritten struct {
	cluster *elastic.Cluster
	// client is what elasticsearch.NewDefaultClient makes, without its typed
	// API: Go's default transport, which asks for gzip by itself.
	client *elastictransport.Client
	// plain asks for no compression.
	plain *elastictransport.Client
}

// handRecord is an Audit as a person declares it.
type handRecord struct {
	ID                  string          `json:"id"`
	Time                time.Time       `json:"time"`
	IngestTime          time.Time       `json:"ingest_time"`
	SourceType          string          `json:"source_type"`
	Cluster             string          `json:"cluster"`
	OrgID               string          `json:"org_id"`
	UserID              string          `json:"user_id"`
	ActorType           string          `json:"actor_type"`
	SourceIP            string          `json:"source_ip"`
	UserAgent           string          `json:"user_agent"`
	TokenID             string          `json:"token_id"`
	TraceID             string          `json:"trace_id"`
	Session             string          `json:"session"`
	Action              string          `json:"action"`
	Outcome             string          `json:"outcome"`
	ResponseCode        int64           `json:"response_code"`
	APIName             string          `json:"api_name"`
	TargetResourceType  string          `json:"target_resource_type"`
	TargetResourceName  string          `json:"target_resource_name"`
	TargetResourceOrgID string          `json:"target_resource_org_id"`
	TargetID            string          `json:"target_id"`
	Description         string          `json:"description"`
	Details             json.RawMessage `json:"details"`
}

type handAnswer struct {
	TimedOut bool `json:"timed_out"`
	Shards   struct {
		Failed int `json:"failed"`
	} `json:"_shards"`
	Hits struct {
		Total struct {
			Value int64 `json:"value"`
		} `json:"total"`
		Hits []struct {
			ID     string     `json:"_id"`
			Source handRecord `json:"_source"`
		} `json:"hits"`
	} `json:"hits"`
}

func newHandWritten(ctx context.Context, cluster *elastic.Cluster) (*handWritten, error) {
	address, err := url.Parse(cluster.URL())
	if err != nil {
		return nil, err
	}
	client, err := elastictransport.NewClient(elastictransport.WithURLs(address))
	if err != nil {
		return nil, err
	}
	plain, err := elastictransport.NewClient(elastictransport.WithURLs(address),
		elastictransport.WithTransport(&http.Transport{DisableCompression: true}))
	if err != nil {
		return nil, err
	}
	_, err = cluster.Do(ctx, http.MethodPut, "/"+handIndex, []byte(handMapping))
	return &handWritten{cluster: cluster, client: client, plain: plain}, err
}

// encoded is a record as two lines of a bulk request.
func encoded(r record.Record) ([]byte, error) {
	document, err := record.Encode(r)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "{\"create\":{\"_id\":%q}}\n%s\n", r.Base().ID, document), nil
}

// append writes records that are encoded.
func (h *handWritten) append(ctx context.Context, records [][]byte) error {
	answer, err := h.cluster.Do(ctx, http.MethodPost, "/"+handIndex+"/_bulk?filter_path=errors", bytes.Join(records, nil))
	if err != nil {
		return err
	}
	if !bytes.Contains(answer, []byte(`"errors":false`)) {
		return errors.New("the index made by hand refused a record")
	}
	return nil
}

func (h *handWritten) count(ctx context.Context) (int64, error) {
	answer, err := h.cluster.Do(ctx, http.MethodGet, "/"+handIndex+"/_count", nil)
	if err != nil {
		return 0, err
	}
	var counted struct {
		Count int64 `json:"count"`
	}
	return counted.Count, json.Unmarshal(answer, &counted)
}

// page reads the newest page into structs.
func (h *handWritten) page(ctx context.Context) error { return h.pageBy(ctx, h.client) }

// plainPage is page without compression.
func (h *handWritten) plainPage(ctx context.Context) error { return h.pageBy(ctx, h.plain) }

func (h *handWritten) pageBy(ctx context.Context, client *elastictransport.Client) (err error) {
	body := fmt.Sprintf(handQuery, pageRows, monthStart().Format(time.RFC3339), monthEnd().Format(time.RFC3339))
	response, err := esapi.SearchRequest{Index: []string{handIndex}, Body: strings.NewReader(body)}.Do(ctx, client)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.IsError() {
		text, err := io.ReadAll(response.Body)
		return errors.Join(fmt.Errorf("the search by hand failed: %s", text), err)
	}
	var answer handAnswer
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err
	}
	if n := len(answer.Hits.Hits); n != pageRows || answer.TimedOut || answer.Shards.Failed > 0 {
		return fmt.Errorf("the search by hand found %d records, not %d", n, pageRows)
	}
	return nil
}
