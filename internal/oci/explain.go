// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/program"
)

// explain puts a failed step into the words in which engines look for the
// reason: podman's exit statuses 126 and 127 come from them.
func explain(err error, p *specs.Process) error {
	var op *program.OpError
	if !errors.As(err, &op) || len(p.Args) == 0 {
		return err
	}
	const start = "unable to start container process: "
	name := p.Args[0]
	switch op.Step {
	case "find-program", "exec-payload":
		switch {
		case errors.Is(err, unix.ENOENT) && !strings.Contains(name, "/"):
			return fmt.Errorf(start+"exec: %q: executable file not found in $PATH", name)
		case errors.Is(err, unix.ENOENT):
			return fmt.Errorf(start+"exec: %q: stat %s: no such file or directory", name, name)
		}
		var errno unix.Errno
		if errors.As(err, &errno) {
			return fmt.Errorf(start+"exec: %q: %w", name, errno)
		}
	case "change-directory":
		var errno unix.Errno
		if errors.Is(err, unix.EBADE) {
			return errors.New(start + "current working directory is outside of container mount namespace root -- possible container breakout detected")
		}
		if errors.As(err, &errno) {
			return fmt.Errorf(start+"chdir to cwd (%q) set in config.json failed: %w", p.Cwd, errno)
		}
	}
	return fmt.Errorf(start+"%w", err)
}
