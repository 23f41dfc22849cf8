package elastic

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"auditquery.dev/auditquery/test/repository"
)

// HomeEnv names the directory of the unpacked Elasticsearch.
const HomeEnv = "AUDITQUERY_ELASTICSEARCH_HOME"

// FindHome returns where Elasticsearch is: what HomeEnv says, else
// bin/elasticsearch of the repository around the working directory.
func FindHome() (string, error) {
	home := os.Getenv(HomeEnv)
	if home == "" {
		root, err := repository.Root()
		if err != nil {
			return "", fmt.Errorf("find Elasticsearch (or set %s): %w", HomeEnv, err)
		}
		home = filepath.Join(root, "bin", "elasticsearch")
	}
	home, err := filepath.Abs(home)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(home, "bin", "elasticsearch")); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("%s has no bin/elasticsearch: run `make elasticsearch`, or set %s", home, HomeEnv)
		}
		return "", err
	}
	return home, nil
}

// reachableHome returns home, or a copy of it that who can reach: a repository
// is often cloned where only its owner can enter.
func (c *Cluster) reachableHome(home string, who *identity) (string, error) {
	blocked, err := who.blockedAt(filepath.Join(home, "bin", "elasticsearch"))
	if err != nil || blocked == "" {
		return home, err
	}
	temporary, err := c.makeTemporary(who)
	if err != nil {
		return "", err
	}
	duplicate := filepath.Join(temporary, "elasticsearch")
	if err := copyTree(home, duplicate); err != nil {
		return "", fmt.Errorf("copy Elasticsearch to where its user can reach it: %w", err)
	}
	return duplicate, nil
}

// copyTree copies directories and files, readable by everybody. Files are
// linked where the file system allows it: nobody writes to them.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			return os.Mkdir(target, 0o755)
		case info.Mode().IsRegular():
			return linkOrCopy(path, target, info.Mode().Perm())
		default:
			return fmt.Errorf("%s is neither a file nor a directory", path)
		}
	})
}

func linkOrCopy(from, to string, mode fs.FileMode) error {
	// Who may read or run it as its owner may do so as anybody.
	open := mode | mode>>3&0o055 | mode>>6&0o005
	if open == mode && os.Link(from, to) == nil {
		return nil
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, open)
}
