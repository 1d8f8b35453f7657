// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/store"
)

// findImage looks an image up in the local store. A start never fetches: that
// is the work of the unit's own image unit, which has run by now.
func findImage(s *definition.Service) (*store.Image, error) {
	st, err := store.Open("")
	if err != nil {
		return nil, err
	}
	img, err := st.ResolveFor(s.Image, s.Platform)
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
	img, err := st.Use(s.Image, s.Platform, s.UnitName())
	if err != nil {
		return nil, store.Upper{}, imageError(s, err)
	}
	if err := checkPlatform(s, &img); err != nil {
		return nil, store.Upper{}, err
	}
	if s.ReadOnly {
		return &img, store.Upper{}, nil
	}
	if s.Persist {
		u, err := st.KeptUpper(context.Background(), s.UnitName(), img.Root)
		return &img, u, upperError(s, err)
	}
	u, err := st.Upper(s.UnitName(), img.Root)
	return &img, u, upperError(s, err)
}

// upperError has the cure of what may be of either file system that a start with
// an image writes to.
func upperError(s *definition.Service, err error) error {
	if storeCure(err) != "" {
		return imageError(s, err)
	}
	return err
}

func imageFacts(img *store.Image, u store.Upper) *planner.Image {
	c := img.Config
	return &planner.Image{
		Lowers: img.Lowers, Upper: u.Dir, Work: u.Work,
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, User: c.User, WorkingDir: c.WorkingDir, Volumes: c.Volumes,
		StopSignal: c.StopSignal, Healthcheck: imageHealth(c.Healthcheck), Shell: c.Shell, ExposedPorts: c.ExposedPorts, Labels: c.Labels,
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
		Test: h.Test, Interval: notOften(h.Interval), Timeout: max(h.Timeout, 0), StartInterval: notOften(h.StartInterval),
		// A stranger's: what is below nothing would have the first failure count as the last.
		Retries: max(h.Retries, 0), StartPeriod: max(h.StartPeriod, 0),
	}
}

// leastOfImages is between two checks of an image's. Each has the helper join the
// container, which is not among what the container's own limits are for.
const leastOfImages = 500 * time.Millisecond

// notOften leaves 0 as it is: the image does not say.
func notOften(interval time.Duration) time.Duration {
	if interval == 0 || protection.Off("checks-of-images") {
		return interval
	}
	return max(interval, leastOfImages)
}

func imageError(s *definition.Service, err error) error {
	cure := "fetch it with `unitc pull " + s.Image + "` or look at its image unit in `systemctl --failed`"
	if s.Pull() == definition.PullNever {
		cure = "bring it in with `unitc load` or `unitc pull " + s.Image + "`, or drop `pull_policy: never`"
		if strings.HasPrefix(s.Image, "localhost/") {
			cure = "bring it in with `unitc load`, or build it with `unitc build " + cmp.Or(s.Project, s.Name) + "` where its definition has build:"
		}
	}
	cure = cmp.Or(storeCure(err), cure)
	what := err.Error()
	if errors.Is(err, store.ErrNotFound) {
		what = s.Image + ": " + store.ErrNotFound.Error() // the store's own cure is not ours
	}
	return &planner.KeyError{Key: "image", What: what, Cure: cure}
}

// storeCure is what to do where the kernel keeps the store from working, whoever wants
// something of it; "" of other errors.
func storeCure(err error) string {
	dir := store.DefaultDir()
	var file *fs.PathError
	inRun := errors.As(err, &file) && strings.HasPrefix(file.Path, "/run/")
	switch {
	case errors.Is(err, unix.EROFS) && inRun:
		return readOnlyRun
	case errors.Is(err, unix.EROFS):
		return dir + " must be writable for the helper: its file system is mounted read-only, as after a fault of the disk (`findmnt -T " + dir + "`, `journalctl -k`), or a drop-in of the unit makes it so (ProtectSystem=, ReadOnlyPaths=)"
	case errors.Is(err, unix.ENOSPC) && inRun:
		return fullRun
	case errors.Is(err, unix.ENOSPC):
		return "the file system of images and volumes is full, in bytes or inodes: look with `df " + dir + "` and `df -i " + dir + "`; `unitc prune` removes unused images"
	case errors.Is(err, unix.EDQUOT):
		return "a quota of the file system of images and volumes is used up (`findmnt -T " + dir + "`): raise it; `unitc prune` removes unused images"
	case errors.Is(err, unix.EMFILE):
		return noDescriptors
	case errors.Is(err, unix.ENFILE):
		return noHostDescriptors
	case errors.Is(err, unix.EIO), errors.Is(err, unix.ESTALE), errors.Is(err, unix.ENOTCONN):
		return "the file system of images and volumes fails (`findmnt -T " + dir + "`): look at `journalctl -k`"
	}
	return ""
}

// checkPlatform refuses an image of another platform than the definition's: a
// name stands for one image at a time.
func checkPlatform(s *definition.Service, img *store.Image) error {
	if s.Platform == "" {
		return nil
	}
	parts := append(strings.Split(s.Platform, "/"), "", "")
	if parts[1] == "" { // an architecture alone
		parts[0], parts[1] = "linux", parts[0]
	}
	if (img.OS == "" || parts[0] == img.OS) && parts[1] == img.Architecture && (parts[2] == "" || img.Variant == "" || parts[2] == img.Variant) {
		return nil
	}
	return &planner.KeyError{
		Key: "platform", What: "the image " + s.Image + " that is here is for " + strings.TrimSuffix(img.OS+"/"+img.Architecture+"/"+img.Variant, "/"),
		Cure: "fetch it with `unitc pull --platform " + s.Platform + " " + s.Image + "`",
	}
}

// releaseImage ends useImage; what the container wrote goes with it, unless it
// is kept. It may be called for a unit that has no image.
func releaseImage(unit string) error {
	st, err := store.Open("")
	if err != nil {
		return err
	}
	err = errors.Join(st.Unuse(unit), st.RemoveUpper(unit)) // a kept one is a volume
	if u := realm.Own(); u != nil && u.Entered {
		err = errors.Join(err, st.SweepTrash()) // no other sweep comes behind a user's
	}
	return err
}
