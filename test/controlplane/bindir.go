package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"auditquery.dev/auditquery/test/repository"
)

// BinDirEnv names the directory of the control plane's programs.
const BinDirEnv = "AUDITQUERY_CONTROLPLANE_BIN"

// FindBinDir returns where the programs are: what BinDirEnv says, else
// bin/controlplane of the repository around the working directory.
func FindBinDir() (string, error) {
	if dir := os.Getenv(BinDirEnv); dir != "" {
		return dir, nil
	}
	root, err := repository.Root()
	if err != nil {
		return "", fmt.Errorf("find the control plane's programs (or set %s): %w", BinDirEnv, err)
	}
	return filepath.Join(root, "bin", "controlplane"), nil
}

func resolveBinDir(dir string) (string, error) {
	if dir == "" {
		found, err := FindBinDir()
		if err != nil {
			return "", err
		}
		dir = found
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, program := range []string{programEtcd, programAPIServer, programControllerManager, programKubectl} {
		if _, err := os.Stat(programPath(dir, program)); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return "", fmt.Errorf("%s has no %s: run `make controlplane`, or set %s", dir, program, BinDirEnv)
			}
			return "", err
		}
	}
	return dir, nil
}

func programPath(dir, program string) string {
	return filepath.Join(dir, program)
}
