package rules_test

import (
	"testing"
	"time"

	"auditquery.dev/auditquery/test/faults"
)

// answerTime is when an answer must be there, with what the servers are told
// (storeTimeout) and what a slow machine adds.
const answerTime = 20 * time.Second

func TestAFaultIsAnErrorAndNeverAShortAnswer(t *testing.T) {
	w := theWorld(t)
	all := ways(t, w.Stage)
	wantAllGood(t, all)
	cases := map[string]faults.Fault{
		"a search times out inside Elasticsearch": {Kind: faults.TimedOut},
		"a shard fails":                                 {Kind: faults.FailedShard},
		"Elasticsearch has too much to do":              {Kind: faults.Rejected, SearchesOnly: true},
		"Elasticsearch has too much to do for anything": {Kind: faults.Rejected},
		"a body ends early and says so":                 {Kind: faults.ShortBody, SearchesOnly: true},
		"every body ends early and says so":             {Kind: faults.ShortBody},
		"a body lacks its end":                          {Kind: faults.MissingBody, SearchesOnly: true},
		"every body lacks its end":                      {Kind: faults.MissingBody},
		"the connection breaks in an answer":            {Kind: faults.Cut, SearchesOnly: true},
		"the connection breaks in every answer":         {Kind: faults.Cut},
		"an answer is a page for people":                {Kind: faults.NotJSON, SearchesOnly: true},
		"every answer is a page for people":             {Kind: faults.NotJSON},
		"no answer to a search comes":                   {Kind: faults.Hang, SearchesOnly: true},
		"no answer comes":                               {Kind: faults.Hang},
		"an answer comes too late":                      {Delay: 10 * time.Second, SearchesOnly: true},
		"connections are refused":                       {Kind: faults.Refuse},
	}
	for name, fault := range cases {
		t.Run(name, func(t *testing.T) {
			w.breakStore(t, fault)
			wantAllRefused(t, all)
			w.mendStore(t)
			wantAllGood(t, all)
		})
	}
}

func TestAFrozenElasticsearchIsAnError(t *testing.T) {
	w := theWorld(t)
	all := ways(t, w.Stage)
	node := w.elastic.Nodes()[0]
	if err := node.Pause(); err != nil {
		t.Fatal(err)
	}
	resume := func() {
		if err := node.Resume(); err != nil {
			t.Error(err)
		}
	}
	defer resume() // twice does no harm
	wantAllRefused(t, all)
	resume()
	wantAllGood(t, all)
}

func TestASlowElasticsearchIsNoError(t *testing.T) {
	w := theWorld(t)
	all := ways(t, w.Stage)
	w.breakStore(t, faults.Fault{Delay: 20 * time.Millisecond})
	wantAllGood(t, all)
}

func wantAllRefused(t *testing.T, ways map[string]way) {
	t.Helper()
	for name, a := range askAll(t.Context(), ways) {
		if err := refused(a); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if a.took > answerTime {
			t.Errorf("%s: %s", name, a)
		}
	}
}
