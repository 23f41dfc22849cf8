// Command sample writes the sample of application audits and logins as JSON
// lines to standard output, with times of the last two days:
//
//	go run ./hack/sample | auditquery import -
//
// With -now it gives the same bytes each time.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"auditquery.dev/auditquery/test/builders"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sample:", err)
		os.Exit(1)
	}
}

func run() error {
	text := flag.String("now", "", "the instant before which everything happened, as 2026-11-03T00:00:00Z; empty: now")
	flag.Parse()
	now := time.Now()
	if *text != "" {
		var err error
		if now, err = time.Parse(time.RFC3339, *text); err != nil {
			return err
		}
	}
	return builders.WriteSample(os.Stdout, now)
}
