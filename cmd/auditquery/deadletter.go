package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
)

const (
	flagDeadLetterDir    = "dead-letter-dir"
	defaultDeadLetterDir = "auditquery-dead-letters"
)

func newDeadLetterCommand(std streams) *cobra.Command {
	folder := &letterFolder{dir: defaultDeadLetterDir}
	cmd := &cobra.Command{
		Use:   "deadletter",
		Short: "Look after what came in and could not be stored",
		Long: `Look after what came in and could not be stored: malformed events, records
that the store refuses, damaged parts of the spool. All of it is kept until
somebody replays or discards it, and while the folder is full nothing new can be
put there. These commands work while a server uses the folder.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q; there are list, show, replay and discard", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	folder.addFlags(cmd.PersistentFlags())
	cmd.AddCommand(newLetterListCommand(std, folder), newLetterShowCommand(std, folder),
		newLetterReplayCommand(std, folder), newLetterDiscardCommand(std, folder))
	return cmd
}

// letterFolder is where letters are looked for.
type letterFolder struct{ dir string }

func (o *letterFolder) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.dir, flagDeadLetterDir, o.dir, "the folder of the dead letters, as the server has it")
}

func (o *letterFolder) open() (*deadletter.Folder, error) {
	return deadletter.Open(deadletter.Options{Dir: o.dir, Existing: true})
}

// letterFilter is which letters a command is about.
type letterFilter struct {
	causes, sources []string
}

func (o *letterFilter) addFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&o.causes, "cause", o.causes, "only letters of these causes: "+strings.Join(causeNames(), ", "))
	flags.StringSliceVar(&o.sources, "source", o.sources, "only letters of these sources, as kubernetes/prod")
}

func (o *letterFilter) validate() []error {
	var all []error
	for _, cause := range o.causes {
		if !deadletter.Cause(cause).Valid() {
			all = append(all, fmt.Errorf("--cause is %q; it is one of %s", cause, strings.Join(causeNames(), ", ")))
		}
	}
	return all
}

func (o *letterFilter) given() bool { return len(o.causes)+len(o.sources) > 0 }

func (o *letterFilter) matches(l deadletter.Letter) bool {
	return (len(o.causes) == 0 || slices.Contains(o.causes, string(l.Cause))) &&
		(len(o.sources) == 0 || slices.Contains(o.sources, l.Source))
}

func causeNames() []string {
	var names []string
	for _, cause := range deadletter.Causes() {
		names = append(names, string(cause))
	}
	return names
}

// letterChoice is which letters a command changes: some by their ids, or all
// that a filter leaves.
type letterChoice struct {
	filter letterFilter
	all    bool
	ids    map[string]bool
	found  map[string]bool
}

func (o *letterChoice) addFlags(flags *pflag.FlagSet, what string) {
	flags.BoolVar(&o.all, "all", o.all, what)
	o.filter.addFlags(flags)
}

// validate takes the command's arguments.
func (o *letterChoice) validate(args []string) []error {
	all := o.filter.validate()
	switch {
	case o.all && len(args) > 0:
		all = append(all, errors.New("give ids or --all, not both"))
	case !o.all && len(args) == 0:
		all = append(all, errors.New("give the ids of letters, as `auditquery deadletter list` shows them, or --all"))
	case !o.all && o.filter.given():
		all = append(all, errors.New("--cause and --source go with --all"))
	}
	o.ids, o.found = map[string]bool{}, map[string]bool{}
	for _, id := range args {
		o.ids[id] = true
	}
	return all
}

func (o *letterChoice) matches(l deadletter.Letter) bool {
	if o.all {
		return o.filter.matches(l)
	}
	if o.ids[l.ID] {
		o.found[l.ID] = true
		return true
	}
	return false
}

// missing is an error about the ids that no letter has.
func (o *letterChoice) missing() error {
	var ids []string
	for id := range o.ids {
		if !o.found[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	switch len(ids) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("no dead letter has the id %s", ids[0])
	default:
		return fmt.Errorf("no dead letters have the ids %s", strings.Join(ids, ", "))
	}
}

// countOf writes a number of letters as words.
func countOf(n int) string {
	if n == 1 {
		return "1 dead letter"
	}
	return fmt.Sprintf("%d dead letters", n)
}
