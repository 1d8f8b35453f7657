// SPDX-License-Identifier: Apache-2.0

package definition

import "testing"

func TestLeavesTraces(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Service)
		want   bool
	}{
		"alone":        {func(*Service) {}, false},
		"host network": {func(s *Service) { s.NetworkMode = "host" }, false},
		"joined":       {func(s *Service) { s.NetworkMode = "service:db" }, false},
		"volume":       {func(s *Service) { s.Volumes = []Volume{{Type: VolumeNamed, Source: "db"}} }, false},
		"life hooks":   {func(s *Service) { s.PreStop = []Hook{{}} }, false},
		"bridge":       {func(s *Service) { s.NetworkMode = "" }, true},
		"pasta":        {func(s *Service) { s.NetworkMode = "pasta" }, true},
		"pid":          {func(s *Service) { s.PID = "host" }, true},
		"image":        {func(s *Service) { s.Image, s.RootFS = "nginx", "" }, true},
		"image volume": {func(s *Service) { s.Volumes = []Volume{{Type: VolumeImage, Source: "nginx"}} }, true},
		"bundle":       {func(s *Service) { s.Bundle, s.RootFS = "/b", "" }, true},
		"runtime":      {func(s *Service) { s.Runtime = "crun" }, true},
		"vendor":       {func(s *Service) { s.CDI = []CDIDevice{{}} }, true},
		"healthcheck":  {func(s *Service) { s.Healthcheck = &Healthcheck{} }, true},
		"quiet":        {func(s *Service) { s.System.Service = []Directive{{Name: "LogLevelMax", Value: "err"}} }, true},
		"probe":        {func(s *Service) { s.System.Probe = &Probe{} }, true},
	} {
		s := Service{RootFS: "/srv", NetworkMode: "none"}
		c.change(&s)
		if got := s.LeavesTraces(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
