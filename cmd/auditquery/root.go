package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	exitOK     = 0
	exitFailed = 1
	// exitUsage is for command lines that can never work.
	exitUsage = 2
)

// streams are a process's standard streams.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// usageError is a command line that can never work.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, std streams, args []string) int {
	root := newRootCommand(std)
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usageError{}):
		fmt.Fprintf(std.err, "auditquery: %v\nSee `auditquery --help`.\n", err)
		return exitUsage
	default:
		fmt.Fprintf(std.err, "auditquery: %v\n", err)
		return exitFailed
	}
}

func newRootCommand(std streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "auditquery",
		Short: "Make an organisation's audit trail part of the Kubernetes API",
		Long: `Make an organisation's audit trail part of the Kubernetes API.

Each flag can be given as an environment variable as well: --cluster-name is
AUDITQUERY_CLUSTER_NAME. A flag on the command line stands above it.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return flagsFromEnvironment(cmd.Flags(), os.LookupEnv)
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newAllCommand(std), newControllerCommand(std), newAPIServerCommand(std), newIngestCommand(std),
		newImportCommand(std), newDeadLetterCommand(std), newVersionCommand(std))
	return root
}

// flagsFromEnvironment sets each flag that the command line left alone to the
// variable that is named after it.
func flagsFromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var failures []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := variableOf(f.Name)
		value, ok := lookup(name)
		if f.Changed || !ok || f.Name == "help" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failures = append(failures, fmt.Errorf("the environment variable %s: %w", name, err))
		}
	})
	if len(failures) > 0 {
		return usageError{errors.Join(failures...)}
	}
	return nil
}

func variableOf(flag string) string {
	return "AUDITQUERY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// invalid joins what Validate of several option groups found; nil when all is
// well.
func invalid(groups ...[]error) error {
	var all []error
	for _, group := range groups {
		all = append(all, group...)
	}
	if len(all) == 0 {
		return nil
	}
	return usageError{errors.Join(all...)}
}

func newVersionCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(std.out, version)
			return err
		},
	}
}
