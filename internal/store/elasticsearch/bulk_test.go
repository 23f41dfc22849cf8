package elasticsearch

import "testing"

func TestAllCreated(t *testing.T) {
	const created, present = `{"create":{"status":201}}`, `{"create":{"status":409}}`
	tests := map[string]struct {
		answer  string
		records int
		want    bool
	}{
		"one":                       {answer: `{"errors":false,"items":[` + created + `]}`, records: 1, want: true},
		"three":                     {answer: `{"errors":false,"items":[` + created + "," + created + "," + created + `]}`, records: 3, want: true},
		"one fewer than was sent":   {answer: `{"errors":false,"items":[` + created + `]}`, records: 2},
		"one more than was sent":    {answer: `{"errors":false,"items":[` + created + "," + created + `]}`, records: 1},
		"one was there before":      {answer: `{"errors":true,"items":[` + created + "," + present + `]}`, records: 2},
		"a status that contradicts": {answer: `{"errors":false,"items":[` + present + `]}`, records: 1},
		"an answer cut off":         {answer: `{"errors":false,"items":[` + created + `]`, records: 1},
		"something behind it":       {answer: `{"errors":false,"items":[` + created + `]} `, records: 1},
		"another order of members":  {answer: `{"items":[` + created + `],"errors":false}`, records: 1},
		"nothing":                   {records: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := allCreated([]byte(test.answer), test.records); got != test.want {
				t.Errorf("allCreated = %v, want %v", got, test.want)
			}
		})
	}
}
