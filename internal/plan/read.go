// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"os"

	"github.com/unitc/unitc/internal/quickjson"
)

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
