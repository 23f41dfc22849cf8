package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"auditquery.dev/auditquery/internal/ingest/importer"
)

// standardInput is the argument that means standard input.
const standardInput = "-"

// importOptions are those of an import.
type importOptions struct {
	log     *logOptions
	store   *storeOptions
	cluster *clusterOptions
	events  *eventOptions
	// eventsOf is the cluster of audit events; empty means our own.
	eventsOf string
	rejects  string
}

func newImportCommand(std streams) *cobra.Command {
	o := &importOptions{log: newLogOptions(), store: newStoreOptions(true), cluster: newClusterOptions(), events: newEventOptions()}
	o.log.level = "warn"
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Store the records of files",
		Long: `Store the records of files of JSON lines, or of such lines in gzip; - is
standard input. Each line is an Event or EventList of audit.k8s.io/v1, as
kube-apiserver's --audit-log-path writes them, or an Audit or AuthAudit of our
own, with a "time" and, where its fields don't tell, a "kind".

A file can be imported again: only what is missing is stored. Lines that cannot
be used are refused, and the others stored; the exit status is then 1. It works
while ` + "`auditquery all`" + ` uses the same store.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name at least one file to import, or - for standard input")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.validateAndRun(cmd.Context(), std, args) },
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *importOptions) addFlags(flags *pflag.FlagSet) {
	o.log.addFlags(flags)
	o.store.addFlags(flags)
	o.cluster.addNameFlag(flags)
	o.events.addFlags(flags)
	flags.StringVar(&o.eventsOf, "cluster", o.eventsOf,
		"the cluster that audit events are of; empty: the one of --cluster-name")
	flags.StringVar(&o.rejects, "rejects", o.rejects,
		"a new file for what was refused, as JSON lines with the reason and, scrubbed, what it was")
}

func (o *importOptions) validate() error {
	groups := [][]error{o.log.validate(), o.store.validate(), o.cluster.validate(), o.events.validate()}
	if o.eventsOf != "" {
		groups = append(groups, clusterName("--cluster", o.eventsOf))
	}
	return invalid(groups...)
}

func (o *importOptions) validateAndRun(ctx context.Context, std streams, paths []string) error {
	if err := o.validate(); err != nil {
		return err
	}
	log := o.log.logger(std.err)
	shareLogger(log)
	sources, closeSources, err := openSources(paths, std.in)
	if err != nil {
		return err
	}
	defer closeSources()
	rejects, err := o.openRejects()
	if err != nil {
		return err
	}
	opened, err := o.store.open(ctx, log)
	if err != nil {
		return errors.Join(err, rejects.Close())
	}
	summary, err := o.run(ctx, std, sources, opened, rejects)
	err = errors.Join(err, rejects.Close(), opened.Close())
	if err == nil && summary.Refused > 0 {
		err = refusedError{count: summary.Refused, rejects: o.rejects}
	}
	return err
}

func (o *importOptions) run(ctx context.Context, std streams, sources []importer.Source, opened openedStore, rejects *rejectsFile) (importer.Summary, error) {
	show := newProgressLine(std.err)
	events := o.events.complete(o.cluster.name)
	events.Cluster = o.eventsOf
	summary, err := importer.Import(ctx, sources, opened, importer.Options{
		Events: events, Rejects: rejects.writer(), Progress: show.update,
	})
	show.clear()
	return summary, errors.Join(err, summary.Write(std.out))
}

// refusedError is the end of an import that stored what it could.
type refusedError struct {
	count   int64
	rejects string
}

func (e refusedError) Error() string {
	where := "give --rejects FILE to see all of them"
	if e.rejects != "" {
		where = "all of them are in " + e.rejects
	}
	if e.count == 1 {
		return "1 line or event was refused, everything else is stored; " + where
	}
	return fmt.Sprintf("%d lines or events were refused, everything else is stored; %s", e.count, where)
}

// openSources opens all files before anything is stored: a name that is wrong
// should not be found after an hour.
func openSources(paths []string, in io.Reader) (sources []importer.Source, closeAll func(), err error) {
	var files []*os.File
	closeAll = func() {
		for _, file := range files {
			_ = file.Close() // only read
		}
	}
	usesInput := false
	for _, path := range paths {
		if path == standardInput {
			if usesInput {
				closeAll()
				return nil, nil, usageError{errors.New("standard input (-) is named twice")}
			}
			usesInput = true
			sources = append(sources, importer.Source{Name: "standard input", Reader: in})
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("nothing was imported: %w", err)
		}
		files = append(files, file)
		source := importer.Source{Name: path, Reader: file}
		info, err := file.Stat()
		if err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a folder; name the files in it", path)
		}
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("nothing was imported: %w", err)
		}
		if info.Mode().IsRegular() {
			source.Size = info.Size()
		}
		sources = append(sources, source)
	}
	return sources, closeAll, nil
}

// rejectsFile is where refused lines go, if anywhere.
type rejectsFile struct{ file *os.File }

// openRejects makes a new file: an earlier one may be all that is left of lines.
func (o *importOptions) openRejects() (*rejectsFile, error) {
	if o.rejects == "" {
		return &rejectsFile{}, nil
	}
	file, err := os.OpenFile(o.rejects, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("nothing was imported: the file %s for refused lines is there already; "+
			"remove it or name another one", o.rejects)
	}
	if err != nil {
		return nil, fmt.Errorf("nothing was imported: %w", err)
	}
	return &rejectsFile{file: file}, nil
}

// writer is nil where nobody wants the lines.
func (r *rejectsFile) writer() io.Writer {
	if r.file == nil {
		return nil
	}
	return r.file
}

// Close makes the file durable, or removes it when nothing was refused.
func (r *rejectsFile) Close() error {
	if r.file == nil {
		return nil
	}
	info, err := r.file.Stat()
	err = errors.Join(err, r.file.Sync(), r.file.Close())
	if err == nil && info.Size() == 0 {
		return os.Remove(r.file.Name())
	}
	return err
}
