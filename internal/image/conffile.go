// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"

	"github.com/unitc/unitc/internal/regular"
)

// readConf reads a file of settings, which is looked for where others may have put
// something: root by way of su(1) may have the home of who called it. One that is
// masked says nothing.
func readConf(path string) ([]byte, error) {
	data, _, err := regular.Read(path)
	if errors.Is(err, regular.ErrMasked) {
		return nil, nil
	}
	return data, err
}
