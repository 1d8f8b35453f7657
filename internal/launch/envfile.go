// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/envfile"
)

// maxEnvFile bounds an env file, in bytes; execve(2) takes less.
const maxEnvFile = 1 << 20

// readEnvFile reads one of `env_file:` at each start, as systemd does with
// EnvironmentFile=. O_NONBLOCK keeps a FIFO of that name from hanging the start.
func readEnvFile(e definition.EnvFile) ([]definition.Env, error) {
	f, err := os.OpenFile(e.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) && e.Optional {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", e.Path))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxEnvFile {
		return nil, fmt.Errorf("%s is larger than %d KiB", e.Path, maxEnvFile>>10)
	}
	vars, problems := envfile.Parse(envfile.File{Path: e.Path, Data: data, Raw: e.Raw})
	if problems.HasErrors() {
		return nil, errors.New(strings.TrimSpace(problems.String()))
	}
	return vars, nil
}
