// SPDX-License-Identifier: Apache-2.0

// Package load reads what the generator has left of a unit, also while a reload writes it
// anew.
package load

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/quickjson"
	"github.com/unitc/unitc/internal/resolved"
)

// reloadTimeout bounds the wait for a definition that a reload is replacing:
// PID 1 wipes the generators' output and runs them again, which takes
// milliseconds, and a helper it started just before finds nothing.
const reloadTimeout = 10 * time.Second

// Definition reads one by its Path. It waits for a file that is not there yet.
func Definition(path string) (*definition.Resolved, []byte, error) {
	deadline := time.Now().Add(reloadTimeout)
	data, err := resolved.Read(path)
	for errors.Is(err, fs.ErrNotExist) && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
		data, err = resolved.Read(path)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil, fmt.Errorf("reading the resolved definition: %w; the helper has to be root: take User= and DynamicUser= out of the unit's drop-ins (`systemctl cat` names them), and write user: in the definition", err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the resolved definition: %w; run `systemctl daemon-reload`", err)
	}
	r := &definition.Resolved{}
	if err := quickjson.Parse(data, r); err != nil {
		return nil, nil, fmt.Errorf("reading the resolved definition %s: %w; run `systemctl daemon-reload`", path, err)
	}
	if r.Version != definition.ResolvedVersion {
		return nil, nil, fmt.Errorf("resolved definition %s has version %d, this helper reads %d; run `systemctl daemon-reload`", path, r.Version, definition.ResolvedVersion)
	}
	return r, data, nil
}
