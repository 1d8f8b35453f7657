// SPDX-License-Identifier: Apache-2.0

package definition

import "testing"

func TestLeavesTraces(t *testing.T) {
	for name, c := range map[string]struct {
		change         func(*Service)
		traces, remain bool
	}{
		"alone":          {func(*Service) {}, false, false},
		"host network":   {func(s *Service) { s.NetworkMode = "host" }, false, false},
		"joined":         {func(s *Service) { s.NetworkMode = "service:db" }, false, false},
		"volume":         {func(s *Service) { s.Volumes = []Volume{{Type: VolumeNamed, Source: "db"}} }, false, false},
		"life hooks":     {func(s *Service) { s.PreStop = []Hook{{}} }, false, false},
		"bridge":         {func(s *Service) { s.NetworkMode = "" }, false, true},
		"pasta":          {func(s *Service) { s.NetworkMode = "pasta" }, true, false},
		"pid":            {func(s *Service) { s.PID = "host" }, true, false},
		"image":          {func(s *Service) { s.Image, s.RootFS = "nginx", "" }, false, true},
		"image volume":   {func(s *Service) { s.Volumes = []Volume{{Type: VolumeImage, Source: "nginx"}} }, false, true},
		"bundle":         {func(s *Service) { s.Bundle, s.RootFS = "/b", "" }, true, false},
		"runtime":        {func(s *Service) { s.Runtime = "crun" }, true, false},
		"vendor":         {func(s *Service) { s.CDI = []CDIDevice{{}} }, true, false},
		"healthcheck":    {func(s *Service) { s.Healthcheck = &Healthcheck{} }, false, false},
		"quiet":          {func(s *Service) { s.System.Service = []Directive{{Name: "LogLevelMax", Value: "err"}} }, true, false},
		"user's network": {func(s *Service) { s.OfUser, s.NetworkMode = true, "" }, true, true},
		"user's group":   {func(s *Service) { s.OfUser, s.System.Cgroup = true, CgroupService }, true, false},
		"user's image":   {func(s *Service) { s.OfUser, s.Image = true, "nginx" }, false, true},
		"user's pasta":   {func(s *Service) { s.OfUser, s.NetworkMode = true, "pasta" }, false, true},
		"probe":          {func(s *Service) { s.System.Probe = &Probe{} }, false, false},
	} {
		s := Service{RootFS: "/srv", NetworkMode: "none"}
		c.change(&s)
		if traces, remain := s.LeavesTraces(), s.LeavesRemains(); traces != c.traces || remain != c.remain {
			t.Errorf("%s: %v, %v", name, traces, remain)
		}
	}
}
