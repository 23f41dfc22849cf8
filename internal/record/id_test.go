package record_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// The wanted ids were made by another program, in Python:
//
//	import hashlib, struct
//	def text(s):
//	    b = s.encode()
//	    return struct.pack('>Q', len(b)) + b
//	def number(n):
//	    return struct.pack('>Q', 8) + struct.pack('>q', n)
//	def bulk(kind, sender, unique_id, micros):
//	    parts = text(kind) + text('bulk') + text('1') + text(sender) + text(unique_id) + number(micros)
//	    return hashlib.sha256(parts).hexdigest()[:32]
//	def content(kind, canonical, occurrence):
//	    parts = text(kind) + text('content') + text('1') + text(canonical) + number(occurrence)
//	    return hashlib.sha256(parts).hexdigest()[:32]
//
// They never change: a record that is sent again must have the id that it had.

// created is 1793775599123456 µs after 1970.
func created() time.Time { return time.Date(2026, 11, 4, 6, 59, 59, 123456789, time.UTC) }

func TestBulkIDNeverChanges(t *testing.T) {
	tests := map[string]struct {
		kind             record.Kind
		sender, uniqueID string
		created          time.Time
		want             string
	}{
		"an audit":                          {record.KindAudit, "billing", "evt-1", created(), "8d129067515259f095b1fa9350e39a98"},
		"the same name for a login":         {record.KindAuthAudit, "billing", "evt-1", created(), "b189e81a3e21d76f8161c47aeef04e83"},
		"another name":                      {record.KindAudit, "billing", "evt-2", created(), "1b6264de485f4ffa944b186fc7ef9496"},
		"the same letters, split elsewhere": {record.KindAudit, "billin", "gevt-1", created(), "3b516f86c9aadad858fae8dca91b55f7"},
		"another time zone and less than a µs": {
			record.KindAudit, "billing", "evt-1", created().In(time.FixedZone("", -3600)).Add(-789),
			"8d129067515259f095b1fa9350e39a98",
		},
		"nothing at all, in 1970":   {record.KindAudit, "", "", time.Unix(0, 0), "b9486ce74c7f4110cceef5958bc2f3db"},
		"a microsecond before 1970": {record.KindAudit, "b", "evt", time.UnixMicro(-1), "4b3a2f80b185223672f396c5613aab03"},
		"text of every sort":        {record.KindAudit, "日本\x00", `😀"\`, created(), "50db9952af3f5b1944490e0ffada3089"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := record.BulkID(tc.kind, tc.sender, tc.uniqueID, tc.created); got.String() != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestContentIDNeverChanges(t *testing.T) {
	tests := map[string]struct {
		kind       record.Kind
		canonical  string
		occurrence int
		want       string
	}{
		"the first of its file":    {record.KindAudit, "{}", 0, "928ca414e470721d6a1b902dbe14a391"},
		"the second of its file":   {record.KindAudit, "{}", 1, "65cd04cad8349cb8c7eeb6b8cf42238b"},
		"the same of another kind": {record.KindAuthAudit, "{}", 0, "7ebeba012acee7c74f7d73f3f6021ea6"},
		"a late occurrence":        {record.KindAudit, `{"user_id":"é"}`, 1 << 40, "ecc4cdd0ff929a68c6fe8767570fa6a3"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := record.ContentID(tc.kind, []byte(tc.canonical), tc.occurrence); got.String() != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestHalvesHaveTheOrderOfTheID(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	edges := []byte{0x00, 0x01, 0x7f, 0x80, 0xff}
	var ids []record.ID
	for range 400 {
		var id record.ID
		for i := range id {
			if id[i] = edges[random.IntN(len(edges))]; random.IntN(4) == 0 {
				id[i] = byte(random.Uint32())
			}
		}
		ids = append(ids, id)
		id[random.IntN(len(id))] ^= 0x80
		ids = append(ids, id)
	}
	for _, a := range ids {
		for _, b := range ids {
			aHigh, aLow := a.Halves()
			bHigh, bLow := b.Halves()
			want := bytes.Compare(a[:], b[:])
			if got := cmp.Or(cmp.Compare(aHigh, bHigh), cmp.Compare(aLow, bLow)); got != want {
				t.Fatalf("%s and %s: halves compare %d, ids %d", a, b, got, want)
			}
			if got := cmp.Compare(a.String(), b.String()); got != want {
				t.Fatalf("%s and %s: text compares %d, ids %d", a, b, got, want)
			}
		}
	}
}

func TestHalvesAreSignedWithFlippedSigns(t *testing.T) {
	id := record.ID{0: 0x80, 7: 0x01, 15: 0x02}
	if high, low := id.Halves(); high != 1 || low != -1<<63+2 {
		t.Errorf("halves of %s are %d and %d", id, high, low)
	}
}

func TestParseID(t *testing.T) {
	tests := map[string]struct {
		text   string
		wantOK bool
	}{
		"32 digits":           {"8d129067515259f095b1fa9350e39a98", true},
		"all zero":            {"00000000000000000000000000000000", true},
		"capitals":            {"8D129067515259F095B1FA9350E39A98", false},
		"one capital":         {"8d129067515259f095b1fa9350e39a9A", false},
		"31 digits":           {"8d129067515259f095b1fa9350e39a9", false},
		"33 digits":           {"8d129067515259f095b1fa9350e39a980", false},
		"no digits at all":    {"", false},
		"a letter beyond f":   {"gd129067515259f095b1fa9350e39a98", false},
		"a UUID":              {"8d129067-5152-59f0-95b1-fa9350e39a98", false},
		"a space at the end":  {"8d129067515259f095b1fa9350e39a9 ", false},
		"a prefix of hex":     {"0x129067515259f095b1fa9350e39a98", false},
		"a rune of two bytes": {"8d129067515259f095b1fa9350e39aé", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			id, err := record.ParseID(tc.text)
			if (err == nil) != tc.wantOK {
				t.Fatalf("%q gives %s and the error %v", tc.text, id, err)
			}
			if !tc.wantOK && !id.IsZero() {
				t.Errorf("%q gives the id %s beside an error", tc.text, id)
			}
			if tc.wantOK && id.String() != tc.text {
				t.Errorf("%q became %s", tc.text, id)
			}
		})
	}
}

func TestIDIsTextInJSON(t *testing.T) {
	id := record.ID{0xab, 15: 0x01}
	data, err := json.Marshal(id)
	if err != nil || string(data) != `"ab000000000000000000000000000001"` {
		t.Fatalf("%s, %v", data, err)
	}
	var back record.ID
	if err := json.Unmarshal(data, &back); err != nil || back != id {
		t.Errorf("%s, %v", back, err)
	}
}
