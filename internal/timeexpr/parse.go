package timeexpr

import (
	"strings"
	"time"
	"unicode/utf8"
)

// MaxLength is the largest length of an expression, in bytes.
const MaxLength = 256

const (
	expectUnit  = "expected a unit (s m h d w M y, or second minute hour day week month year)"
	expectStep  = "expected '+' or '-' and an offset, or '/' and a unit"
	expectStart = "expected now, today, yesterday, tomorrow, a duration, a date or digits"
)

// Parse resolves one expression against the clock reading now. The result is
// in UTC, has microsecond precision and is never the zero time. Every error is
// an [*Error]; an empty text is one.
func Parse(text string, now time.Time) (time.Time, error) {
	if len(text) > MaxLength {
		cut := MaxLength
		for cut > MaxLength-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
			cut--
		}
		return time.Time{}, failure(strings.Clone(text[:cut]), cut, "longer than %d bytes", MaxLength)
	}
	if skipSpaces(text, 0) == len(text) {
		return time.Time{}, failure(text, len(text), "no time given")
	}
	if start, ok := absoluteStart(text); ok {
		return parseAbsolute(text, start)
	}
	expr, err := parseRelative(text)
	if err != nil {
		return time.Time{}, err
	}
	return expr.resolve(text, now)
}

// relative is a parsed expression that needs a clock reading.
type relative struct {
	anchor string // now, today, yesterday or tomorrow
	pos    int    // of the anchor
	steps  []step
}

// step is an offset or a rounding.
type step struct {
	pos   int
	round bool
	count int64 // signed; unused when rounding
	unit  unit
}

// parser reads a relative expression or a duration with one token of
// look-ahead.
type parser struct {
	lexer
	tok token
}

func parseRelative(text string) (relative, error) {
	p := &parser{lexer: lexer{text: text}}
	if err := p.advance(); err != nil {
		return relative{}, err
	}
	first := p.tok
	switch first.kind {
	case kindWord:
		return p.anchored()
	case kindNumber:
		return p.duration()
	case kindSign:
		return relative{}, failure(text, first.pos, "nothing before the sign, write now%s...", first.text)
	}
	return relative{}, failure(text, first.pos, "%s, found %s", expectStart, first)
}

// anchored reads an anchor and what follows it.
func (p *parser) anchored() (relative, error) {
	expr := relative{anchor: strings.ToLower(p.tok.text), pos: p.tok.pos}
	switch expr.anchor {
	case "now", "today", "yesterday", "tomorrow":
	default:
		return expr, failure(p.text, p.tok.pos, "unknown word %q, %s", p.tok.text, expectStart)
	}
	if err := p.advance(); err != nil {
		return expr, err
	}
	for p.tok.kind != kindEnd {
		s, err := p.step()
		if err != nil {
			return expr, err
		}
		expr.steps = append(expr.steps, s)
	}
	return expr, nil
}

// step reads one offset or rounding.
func (p *parser) step() (step, error) {
	start := p.tok
	switch start.kind {
	case kindSlash:
		if err := p.advance(); err != nil {
			return step{}, err
		}
		if p.tok.kind == kindNumber {
			return step{}, failure(p.text, p.tok.pos, "rounding takes a unit alone, without a number")
		}
		u, err := p.unit()
		return step{pos: start.pos, round: true, unit: u}, err
	case kindSign:
		if err := p.advance(); err != nil {
			return step{}, err
		}
		s, err := p.amount()
		s.pos = start.pos
		if start.text == "-" {
			s.count = -s.count
		}
		return s, err
	case kindNumber:
		hint := ""
		if start.spaced {
			hint = lostPlus
		}
		return step{}, failure(p.text, start.pos, "every offset needs its own '+' or '-'%s", hint)
	}
	return step{}, failure(p.text, start.pos, "%s, found %s", expectStep, start)
}

// duration reads a bare duration, which means that long before now.
func (p *parser) duration() (relative, error) {
	expr := relative{anchor: "now", pos: p.tok.pos}
	spaced := p.tok.spaced
	for p.tok.kind != kindEnd {
		if p.tok.kind == kindSign || p.tok.kind == kindSlash {
			return expr, failure(p.text, p.tok.pos, "a bare duration takes no %s, start with now", p.tok)
		}
		s, err := p.amount()
		if err != nil {
			return expr, err
		}
		s.count = -s.count
		expr.steps = append(expr.steps, s)
	}
	if spaced {
		return expr, failure(p.text, 0, "a space before a duration, write now-... or now+...%s", lostPlus)
	}
	return expr, nil
}

// amount reads a number and its unit.
func (p *parser) amount() (step, error) {
	start := p.tok
	if start.kind != kindNumber {
		return step{}, failure(p.text, start.pos, "expected a number, found %s", start)
	}
	count, ok := decimal(start.text, MaxNumber)
	if !ok {
		return step{}, failure(p.text, start.pos, "the number is larger than %d", int64(MaxNumber))
	}
	if err := p.advance(); err != nil {
		return step{}, err
	}
	u, err := p.unit()
	return step{pos: start.pos, count: count, unit: u}, err
}

// unit reads the name of a unit.
func (p *parser) unit() (unit, error) {
	name := p.tok
	if name.kind != kindWord {
		return 0, failure(p.text, name.pos, "%s, found %s", expectUnit, name)
	}
	u, ok := unitNamed(name.text)
	if !ok && len(name.text) == 1 {
		return 0, failure(p.text, name.pos, "unknown unit %q, one-letter units are s m h d w M y, upper and lower case differ", name.text)
	}
	if !ok {
		return 0, failure(p.text, name.pos, "unknown unit %q, %s", name.text, expectUnit)
	}
	return u, p.advance()
}

func (p *parser) advance() (err error) {
	p.tok, err = p.next()
	return err
}
