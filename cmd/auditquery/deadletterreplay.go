package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// lettersAtOnce bounds how many letters are replayed or discarded in one step,
// and lettersBytes how large they are.
const (
	lettersAtOnce = 500
	lettersBytes  = 8 << 20
)

// letterReplayOptions are those of `deadletter replay`.
type letterReplayOptions struct {
	folder *letterFolder
	log    *logOptions
	store  *storeOptions
	choice letterChoice
}

func newLetterReplayCommand(std streams, folder *letterFolder) *cobra.Command {
	o := &letterReplayOptions{folder: folder, log: newLogOptions(), store: newStoreOptions(true)}
	o.log.level = "warn"
	cmd := &cobra.Command{
		Use:   "replay ID... | --all",
		Short: "Store again what dead letters hold, and discard those that are stored",
		Long: `Store again what dead letters hold, and discard those that are stored. It is
said of each what became of it:

  stored     it is in the store now, and its letter is gone
  duplicate  it was in the store, and its letter is gone
  collision  a different record with its id is in the store
  rejected   the store refuses it
  failed     the store could not take it now
  kept       it cannot be stored again, and why

The exit status is 1 when a letter is left.`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), std, args) },
	}
	o.log.addFlags(cmd.Flags())
	o.store.addFlags(cmd.Flags())
	o.choice.addFlags(cmd.Flags(), "replay all letters, or all that --cause and --source leave")
	return cmd
}

func (o *letterReplayOptions) run(ctx context.Context, std streams, args []string) error {
	if err := invalid(o.log.validate(), o.store.validate(), o.choice.validate(args)); err != nil {
		return err
	}
	folder, err := o.folder.open()
	if err != nil {
		return err
	}
	log := o.log.logger(std.err)
	shareLogger(log)
	opened, err := o.store.open(ctx, log)
	if err != nil {
		return err
	}
	replay := &letterReplay{folder: folder, writer: opened, out: std.out}
	err = inSteps(ctx, folder, o.choice.matches, replay.step)
	err = errors.Join(err, opened.Close())
	if err == nil {
		err = o.choice.missing()
	}
	if replay.gone+replay.left > 0 {
		fmt.Fprintf(std.err, "Replayed %s; %d of them are left.\n", countOf(replay.gone+replay.left), replay.left)
	}
	if err == nil && replay.left > 0 {
		err = errors.New("not all of it could be stored")
	}
	return err
}

// inSteps calls step with some of the letters that match, until all were given.
func inSteps(ctx context.Context, folder *deadletter.Folder, matches func(deadletter.Letter) bool,
	step func(context.Context, []deadletter.Letter) error,
) error {
	var letters []deadletter.Letter
	bytes := 0
	flush := func() error {
		if len(letters) == 0 {
			return nil
		}
		err := step(ctx, letters)
		letters, bytes = nil, 0
		return err
	}
	err := folder.Each(ctx, func(l deadletter.Letter) error {
		if !matches(l) {
			return nil
		}
		letters = append(letters, l)
		bytes += len(l.Document) + len(l.Excerpt) + len(l.Bytes)
		if len(letters) < lettersAtOnce && bytes < lettersBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// letterReplay stores letters and says what became of each.
type letterReplay struct {
	folder     *deadletter.Folder
	writer     store.Writer
	out        io.Writer
	gone, left int
}

func (r *letterReplay) step(ctx context.Context, letters []deadletter.Letter) error {
	var records []record.Record
	var whole, gone []deadletter.Letter
	for _, l := range letters {
		rec, err := l.Record()
		if err != nil {
			r.say(l, "kept", err.Error())
			r.left++
			continue
		}
		records, whole = append(records, rec), append(whole, l)
	}
	if len(records) == 0 {
		return nil
	}
	outcomes, err := r.writer.Append(ctx, records)
	if err == nil && len(outcomes) != len(records) {
		err = fmt.Errorf("the store answered for %d of %d records", len(outcomes), len(records))
	}
	if err != nil {
		r.left += len(records)
		return fmt.Errorf("the letters are kept from %s on: %s", whole[0].ID, deadletter.Reason(err))
	}
	for n, outcome := range outcomes {
		switch outcome.Result {
		case store.Stored, store.Duplicate:
			r.gone++
			gone = append(gone, whole[n])
			r.say(whole[n], outcome.Result.String(), "")
		default:
			r.left++
			r.say(whole[n], outcome.Result.String(), deadletter.Reason(outcome.Err))
		}
	}
	_, err = r.folder.Discard(gone...)
	return err
}

func (r *letterReplay) say(l deadletter.Letter, result, reason string) {
	text := fmt.Sprintf("%-12s  %-9s", l.ID, result)
	if reason != "" {
		text += "  " + printable(reason)
	}
	fmt.Fprintln(r.out, text)
}
