// Command bench measures what the stores, intake, retention, the API server and the
// controller cost, beside the least that could be paid for the same and beside what a person
// would write.
//
// Every figure but a few is a ratio whose two sides were measured in turn in one
// run, so that it says something on any machine. It ends with exit status 1 if a figure
// is over its bound.
//
//	go run ./test/bench                          all parts, some 25 minutes
//	go run ./test/bench -only=sqlite -records=100000
//	go run ./test/bench -markdown docs/benchmarks.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	exitOver   = 1
	exitFailed = 2

	defaultRecords = 1_000_000
)

// settings are what the command line says.
type settings struct {
	only       string
	records    int
	iterations int
	rounds     int
	queries    int
	duration   time.Duration
	dir        string
	server     string
	markdown   string
	profile    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	s, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return exitFailed
	}
	report, err := measure(ctx, s, errOut)
	if err != nil {
		fmt.Fprintln(errOut, "bench:", err)
		return exitFailed
	}
	report.print(out)
	if s.markdown != "" {
		if err := report.writeMarkdown(s.markdown); err != nil {
			fmt.Fprintln(errOut, "bench:", err)
			return exitFailed
		}
	}
	if report.over() {
		return exitOver
	}
	return 0
}

func parse(args []string, errOut io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&s.only, "only", "", "which parts to run, of "+strings.Join(partNames(), ",")+"; empty: all")
	flags.IntVar(&s.records, "records", defaultRecords, "how many records the stores hold")
	flags.IntVar(&s.iterations, "iterations", 300, "how often each side of a page is measured")
	flags.IntVar(&s.rounds, "rounds", 7, "how many times the sides of appending, and of intake, begin new indices, 48,000 and 96,000 records a side each")
	flags.IntVar(&s.queries, "queries", 1000, "how many AuditQueries run")
	flags.DurationVar(&s.duration, "duration", 5*time.Minute, "how long the AuditQueries are measured")
	flags.StringVar(&s.dir, "dir", "", "keep the loaded SQLite file here and use it again; empty: a temporary directory")
	flags.StringVar(&s.server, "server", "", "the program that serves, takes records in and runs the AuditQueries; empty: bin/auditquery of the repository")
	flags.StringVar(&s.markdown, "markdown", "", "also write the results as this page")
	flags.StringVar(&s.profile, "cpuprofile", "", "write profiles here: of this process, PREFIX.PART.pprof, and of servers that it measures")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("%q is not expected", flags.Arg(0))
	case s.records < 20_000:
		return s, errors.New("-records must be at least 20000, for pages to be full")
	case s.iterations < 20 || s.rounds < 1 || s.queries < 1 || s.duration < 10*time.Second:
		return s, errors.New("-iterations must be at least 20, -rounds and -queries 1, -duration 10s")
	}
	for _, name := range s.parts() {
		if !slices.Contains(partNames(), name) {
			return s, fmt.Errorf("-only=%s: the parts are %s", name, strings.Join(partNames(), ","))
		}
	}
	return s, nil
}

// parts are those that were asked for.
func (s settings) parts() []string {
	if s.only == "" {
		return partNames()
	}
	return strings.Split(s.only, ",")
}
