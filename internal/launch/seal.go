// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/runtime"
)

// sealHelper keeps a payload that shares the host's user ids from writing to
// this very program (CVE-2019-5736).
func (s *starter) sealHelper() error {
	if planner.WantsUserNamespace(s.service) {
		return nil
	}
	return runtime.Seal(s.notify.environ()...)
}
