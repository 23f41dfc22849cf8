package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	formatAuto = "auto"
	formatJSON = "json"
	formatText = "text"
)

// logOptions say what is logged, and how.
type logOptions struct {
	level  string
	format string
}

func newLogOptions() *logOptions { return &logOptions{level: "info", format: formatAuto} }

func (o *logOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.level, "log-level", o.level, "what is logged: debug, info, warn or error")
	flags.StringVar(&o.format, "log-format", o.format,
		"json, text, or auto: text on a terminal and json elsewhere")
}

func (o *logOptions) validate() []error {
	var all []error
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.level)); err != nil {
		all = append(all, fmt.Errorf("--log-level is %q; it is debug, info, warn or error", o.level))
	}
	if formats := []string{formatAuto, formatJSON, formatText}; !slices.Contains(formats, o.format) {
		all = append(all, fmt.Errorf("--log-format is %q; it is one of %s", o.format, strings.Join(formats, ", ")))
	}
	return all
}

// logger returns the process's logger, which writes to w.
func (o *logOptions) logger(w io.Writer) logr.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(o.level)) // validate has read it
	options := &slog.HandlerOptions{Level: level}
	if o.format == formatText || (o.format == formatAuto && isTerminal(w)) {
		return logr.FromSlogHandler(slog.NewTextHandler(w, options))
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(w, options))
}

// shareLogger gives a logger to the libraries that have one for the whole
// process.
func shareLogger(log logr.Logger) {
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client"))
}
