// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/store"
)

// findImage looks an image up in the local store. A start never fetches: that
// is the work of the unit's own image unit, which has run by now.
func findImage(s *definition.Service) (*store.Image, error) {
	st, err := store.Open("")
	if err != nil {
		return nil, err
	}
	img, err := st.Resolve(s.Image)
	if err != nil {
		return nil, imageError(s, err)
	}
	return &img, nil
}

// useImage is findImage for a start: no prune takes the image away while the
// unit runs, and there is a fresh directory to write in. A read-only root needs
// none.
func useImage(s *definition.Service) (*store.Image, store.Upper, error) {
	st, err := store.Open("")
	if err != nil {
		return nil, store.Upper{}, err
	}
	img, err := st.Use(s.Image, s.UnitName())
	if err != nil {
		return nil, store.Upper{}, imageError(s, err)
	}
	if s.ReadOnly {
		return &img, store.Upper{}, nil
	}
	u, err := st.Upper(s.UnitName(), img.Root)
	return &img, u, err
}

func imageFacts(img *store.Image, u store.Upper) *planner.Image {
	c := img.Config
	return &planner.Image{
		Lowers: img.Lowers, Upper: u.Dir, Work: u.Work,
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, User: c.User, WorkingDir: c.WorkingDir, Volumes: c.Volumes,
		StopSignal: c.StopSignal, Healthcheck: imageHealth(c.Healthcheck), ExposedPorts: c.ExposedPorts, Labels: c.Labels,
	}
}

// imageHealth is an image's check in the definition's words.
func imageHealth(h *store.Healthcheck) *definition.Healthcheck {
	switch {
	case h == nil || len(h.Test) == 0:
		return nil
	case h.Test[0] == "NONE":
		return &definition.Healthcheck{Disable: true}
	}
	return &definition.Healthcheck{
		Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, Retries: h.Retries, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval,
	}
}

func imageError(s *definition.Service, err error) error {
	return &planner.KeyError{Key: "image", What: err.Error(), Cure: "fetch it with `unitc pull " + s.Image + "` or look at its image unit in `systemctl --failed`"}
}

// releaseImage ends useImage; what the container wrote goes with it, unless it
// is kept. It may be called for a unit that has no image.
func releaseImage(unit string) error {
	st, err := store.Open("")
	if err != nil {
		return err
	}
	return errors.Join(st.Unuse(unit), st.RemoveUpper(unit)) // a kept one is a volume
}
