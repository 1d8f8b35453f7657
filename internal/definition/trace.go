// SPDX-License-Identifier: Apache-2.0

package definition

// trace is something of a container's that outlives its payload.
type trace struct {
	why    string
	leaves func(*Service) bool
}

// traces are what of a container outlives its payload and nobody but unitc takes
// away, at its end. All else has an owner: mounts, namespaces and what was loaded in
// them end with their last process, the scope with its service, /run/unitc/NAME is a
// RuntimeDirectory= of systemd's.
var traces = []trace{
	{"the process that passes on what goes through its ports", func(s *Service) bool { return s.NetworkMode == NetworkPasta && !s.OfUser }},
	{"processes in somebody else's PID namespace", func(s *Service) bool { return s.PID != "" }},
	{"another runtime's state", func(s *Service) bool { return s.Runtime != "" }},
	{"hooks to run after the end", func(s *Service) bool { return s.Bundle != "" || len(s.CDI) > 0 }},
	{"what systemd is not to write into the journal", func(s *Service) bool { return s.keepsQuiet() }},
	{"the process that is a user's way out, and records that are taken away where the networks are", func(s *Service) bool { return s.OfUser && s.NetworkMode == "" }},
	{"the kernel's counters, which a user finds in the service's own cgroup alone", func(s *Service) bool { return s.OfUser && s.System.Cgroup == CgroupService }},
}

// remains are what may be taken away behind the end: it has a record of its own, by
// which whoever comes knows whose it was, and nothing of the next start hangs on it.
var remains = []trace{
	{"what the image's container wrote, and the note that the image is in use", func(s *Service) bool { return s.Image != "" }},
	{"the note that an image is in use", func(s *Service) bool { return s.hasVolume(VolumeImage) }},
	// The process ends with the scope, and a start waits for the end of one that is late.
	{"the record of a user's ports", func(s *Service) bool { return s.NetworkMode == NetworkPasta && s.OfUser }},
	{"addresses, interfaces and ports on the host", func(s *Service) bool { return s.NetworkMode == "" }},
}

// LeavesTraces tells whether a container needs clean-up after its end, however
// that came. Of a start that was killed half-way the same holds: each trace is
// of a key that the definition has from the beginning.
func (s *Service) LeavesTraces() bool { return s.leavesAny(traces) }

// LeavesRemains tells whether there is something to sweep up behind its end.
func (s *Service) LeavesRemains() bool { return s.leavesAny(remains) }

func (s *Service) leavesAny(list []trace) bool {
	for _, t := range list {
		if t.leaves(s) {
			return true
		}
	}
	return false
}

// keepsQuiet tells whether systemd may be told to log nothing of the unit's end:
// then nobody else can say why it failed.
func (s *Service) keepsQuiet() bool {
	for _, d := range s.System.Service {
		if d.Name == "LogLevelMax" {
			return true
		}
	}
	return false
}

func (s *Service) hasVolume(kind string) bool {
	for _, v := range s.Volumes {
		if v.Type == kind {
			return true
		}
	}
	return false
}
