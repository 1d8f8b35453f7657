// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"strconv"
	"strings"
	"time"
)

// Pull policies; daily, weekly and every_TIME are ages.
const (
	PullMissing = "missing"
	PullAlways  = "always"
	PullNever   = "never"
)

// How far `unitc update` goes by itself, from the least to the most; where it
// finds newer images is the registry but for UpdateLocal.
const (
	UpdateCheck    = "check" // says that there is one
	UpdateFetch    = "fetch" // has it here
	UpdateLocal    = "local"
	UpdateRegistry = "registry"
)

// Pull is the pull policy in the words of `unitc pull --policy`: missing,
// always, never, or an age.
func (s *Service) Pull() string {
	_, pinned := s.imageDigest()
	switch {
	case s.PullPolicy == PullNever:
		return PullNever
	case s.PullPolicy == "" && s.PullRefreshAfter <= 0, pinned, s.Update != "":
		// What a digest names never changes; and an update decides by itself when
		// to ask, or a restart would undo its way back.
		return PullMissing
	case s.PullPolicy == "refresh" || s.PullPolicy == "":
		if s.PullRefreshAfter <= 0 {
			return PullAlways
		}
		return "every_" + strconv.FormatInt(int64((s.PullRefreshAfter+time.Second-1)/time.Second), 10) + "s"
	}
	return s.PullPolicy
}

func (s *Service) imageDigest() (string, bool) {
	_, digest, found := strings.Cut(s.Image, "@")
	return digest, found
}
