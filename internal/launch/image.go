// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/store"
)

// findImage looks an image up in the local store. A start never fetches: that
// is the work of the unit's own image unit, which has run by now.
func findImage(s *definition.Service) (*planner.Image, error) {
	st, err := store.Open("")
	if err != nil {
		return nil, err
	}
	img, err := st.Resolve(s.Image)
	if err != nil {
		return nil, imageError(s, err)
	}
	return imageFacts(img), nil
}

// useImage is findImage for a start: no prune takes the image away while the
// unit runs, and there is a fresh directory to write in. A read-only root needs
// none.
func useImage(s *definition.Service) (*planner.Image, error) {
	st, err := store.Open("")
	if err != nil {
		return nil, err
	}
	img, err := st.Use(s.Image, s.UnitName())
	if err != nil {
		return nil, imageError(s, err)
	}
	facts := imageFacts(img)
	if s.ReadOnly {
		return facts, nil
	}
	u, err := st.Upper(s.UnitName(), img.Root, false)
	if err != nil {
		return nil, err
	}
	facts.Upper, facts.Work = u.Dir, u.Work
	return facts, nil
}

func imageFacts(img store.Image) *planner.Image {
	c := img.Config
	return &planner.Image{
		Lowers: img.Lowers, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, User: c.User, WorkingDir: c.WorkingDir,
	}
}

func imageError(s *definition.Service, err error) error {
	return &planner.KeyError{Key: "image", What: err.Error(), Cure: "fetch it with `unitc pull " + s.Image + "` or look at its image unit in `systemctl --failed`"}
}

// releaseImage ends useImage; what the container wrote goes with it.
func releaseImage(p *plan.Plan) error {
	if p.Root.Kind != plan.RootOverlay {
		return nil
	}
	st, err := store.Open("")
	if err != nil {
		return err
	}
	return errors.Join(st.Unuse(p.Unit), st.RemoveUpper(p.Unit))
}
