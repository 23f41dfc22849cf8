package record

import (
	"fmt"
	"time"
)

// Timestamp is an instant in µs since 1970 UTC. Its JSON form always has six
// digits of fraction, so that it sorts as text: 2026-11-24T06:51:51.123456Z.
type Timestamp int64

const timestampLayout = "2006-01-02T15:04:05.000000Z"

// At returns t as a Timestamp; what is finer than a microsecond is dropped.
func At(t time.Time) Timestamp { return Timestamp(t.UnixMicro()) }

// Time returns the instant in UTC.
func (t Timestamp) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }

func (t Timestamp) String() string { return t.Time().Format(timestampLayout) }

// AppendText appends the JSON form, without quotes.
func (t Timestamp) AppendText(b []byte) ([]byte, error) { return t.append(b), nil }

// append writes the digits itself for years of four: a document holds two
// instants, and time's formatting would be a third of the cost of writing it.
func (t Timestamp) append(b []byte) []byte {
	at := t.Time()
	year, month, day := at.Date()
	if year < 1000 || year > 9999 {
		return at.AppendFormat(b, timestampLayout)
	}
	hour, minute, second := at.Clock()
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), at.Nanosecond()/1000, 6)
	return append(b, 'Z')
}

// appendDigits writes n with leading zeros.
func appendDigits(b []byte, n, width int) []byte {
	start := len(b)
	for range width {
		b = append(b, '0')
	}
	for i := len(b) - 1; i >= start; i-- {
		b[i] += byte(n % 10)
		n /= 10
	}
	return b
}

// MarshalText returns the JSON form, without quotes.
func (t Timestamp) MarshalText() ([]byte, error) {
	return t.AppendText(make([]byte, 0, len(timestampLayout)))
}

// UnmarshalText reads RFC 3339 with any offset and any fraction.
func (t *Timestamp) UnmarshalText(text []byte) error {
	if micros, ok := parseFixed(text); ok {
		*t = micros
		return nil
	}
	parsed, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time; write it as 2026-11-01T10:00:00Z", clip(string(text)))
	}
	*t = At(parsed)
	return nil
}

// parseFixed reads the form that we write ourselves. Documents of a page hold
// two of them each, and time.Parse is a tenth of the cost of decoding a page.
func parseFixed[T string | []byte](s T) (Timestamp, bool) {
	if len(s) != len(timestampLayout) || s[4] != '-' || s[7] != '-' || s[10] != 'T' ||
		s[13] != ':' || s[16] != ':' || s[19] != '.' || s[26] != 'Z' {
		return 0, false
	}
	year, month, day := number(s[0:4]), number(s[5:7]), number(s[8:10])
	hour, minute, second := number(s[11:13]), number(s[14:16]), number(s[17:19])
	micros := number(s[20:26])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > 28 || hour < 0 || hour > 23 ||
		minute < 0 || minute > 59 || second < 0 || second > 59 || micros < 0 {
		return 0, false // also the days that some months lack: time.Parse judges those
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, micros*1000, time.UTC)
	return At(t), true
}

// number reads unsigned decimal digits; -1 when there is anything else.
func number[T string | []byte](digits T) int {
	n := 0
	for i := range len(digits) {
		d := digits[i]
		if d < '0' || d > '9' {
			return -1
		}
		n = n*10 + int(d-'0')
	}
	return n
}
