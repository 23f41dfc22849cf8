package elastic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const (
	oldestJava = 17
	// javaVersionTimeout is long: a cold JVM on a busy machine takes seconds.
	javaVersionTimeout = 30 * time.Second
)

// findJava returns the home of the JDK that Elasticsearch will run with:
// ES_JAVA_HOME, else JAVA_HOME, else the one behind java on PATH.
func findJava(ctx context.Context) (string, error) {
	home, from, err := javaHome()
	if err != nil {
		return "", err
	}
	version, err := javaVersion(ctx, filepath.Join(home, "bin", "java"))
	if err != nil {
		return "", fmt.Errorf("ask the Java of %s for its version: %w", from, err)
	}
	if version < oldestJava {
		return "", fmt.Errorf("the Java of %s in %s is %d; Elasticsearch needs %d or newer: set ES_JAVA_HOME",
			from, home, version, oldestJava)
	}
	return home, nil
}

func javaHome() (home, from string, err error) {
	for _, variable := range []string{"ES_JAVA_HOME", "JAVA_HOME"} {
		if home := os.Getenv(variable); home != "" {
			return home, variable, nil
		}
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return "", "", fmt.Errorf("find a JDK (install one, %d or newer, or set ES_JAVA_HOME): %w", oldestJava, err)
	}
	// On PATH it is often a link of a link; the home is where the file is.
	if java, err = filepath.EvalSymlinks(java); err != nil {
		return "", "", err
	}
	return filepath.Dir(filepath.Dir(java)), "PATH", nil
}

// javaVersion reads the feature release: 17 of 17.0.15, 8 of 1.8.0.
func javaVersion(ctx context.Context, java string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, javaVersionTimeout)
	defer cancel()
	output, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, output)
	}
	match := regexp.MustCompile(`version "(?:1\.)?(\d+)`).FindSubmatch(output)
	if match == nil {
		return 0, errors.New("no version in: " + string(output))
	}
	return strconv.Atoi(string(match[1]))
}
