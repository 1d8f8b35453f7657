// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/quickjson"
)

// WithoutSockets is an environment without what tells the payload alone of sockets that
// systemd has opened for it (sd_listen_fds(3)): who joins it has none of them.
func WithoutSockets(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, "LISTEN_") })
}

// Read gives the plan that a launch has left in the directory of a container. An error is
// fs.ErrNotExist where it has left none yet.
func Read(dir string) (*Plan, error) {
	data, err := os.ReadFile(dir + "/plan.json")
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	if err := quickjson.Parse(data, p); err != nil {
		return nil, fmt.Errorf("%s/plan.json: %w", dir, err)
	}
	return p, nil
}
