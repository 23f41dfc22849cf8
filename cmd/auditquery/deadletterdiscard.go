package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
)

// letterDiscardOptions are those of `deadletter discard`.
type letterDiscardOptions struct {
	folder *letterFolder
	choice letterChoice
}

func newLetterDiscardCommand(std streams, folder *letterFolder) *cobra.Command {
	o := &letterDiscardOptions{folder: folder}
	cmd := &cobra.Command{
		Use:   "discard ID... | --all",
		Short: "Remove dead letters for good",
		Long: `Remove dead letters for good. After a collision or a refusal a letter is the
only copy of its record: ` + "`auditquery deadletter list -o json --limit=0`" + ` writes
all of them to a file first.`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), std, args) },
	}
	o.choice.addFlags(cmd.Flags(), "discard all letters, or all that --cause and --source leave")
	return cmd
}

func (o *letterDiscardOptions) run(ctx context.Context, std streams, args []string) error {
	if err := invalid(o.choice.validate(args)); err != nil {
		return err
	}
	folder, err := o.folder.open()
	if err != nil {
		return err
	}
	discarded := 0
	err = inSteps(ctx, folder, o.choice.matches, func(_ context.Context, letters []deadletter.Letter) error {
		n, err := folder.Discard(letters...)
		discarded += n
		return err
	})
	fmt.Fprintf(std.out, "Discarded %s.\n", countOf(discarded))
	return errors.Join(err, o.choice.missing())
}
