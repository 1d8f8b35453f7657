// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/store"
)

// crowdRounds is what each member of a crowd does.
const crowdRounds = 12

// crowd is one of many processes at one store: it pulls, starts or prunes.
func crowd(job string) error {
	dir, world := os.Getenv("UNITC_TEST_STORE"), os.Getenv("UNITC_TEST_WORLD")
	s, err := store.Open(dir)
	if err != nil {
		return err
	}
	c := NewClient(s)
	c.Limits.Reserve = 0
	certDirs = []string{world + "/certs.d"}
	c.AuthFile, c.RegistriesFile, c.PolicyFile = world+"/auth.json", world+"/registries.conf", world+"/policy.json"
	refs := strings.Fields(os.Getenv("UNITC_TEST_REFS"))
	kind, member, _ := strings.Cut(job, "-")
	for round := range crowdRounds {
		switch kind {
		case "pull":
			_, err = c.Pull(context.Background(), refs[(round+len(member))%len(refs)], PullOptions{Policy: PullAlways})
		case "start":
			err = crowdStart(s, refs[round%len(refs)], "u"+member+".service")
		case "prune":
			_, err = s.Collect(store.Prune{All: round%3 == 0, Dangling: true, Blobs: round%2 == 0, Partial: true})
		case "remove":
			if _, err = s.RemoveImage(refs[round%len(refs)], true); errors.Is(err, store.ErrNotFound) {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("%s, round %d: %w", job, round, err)
		}
	}
	return nil
}

// crowdStart does what the start of a container does: from then on the image
// is whole whatever the others do.
func crowdStart(s *store.Store, ref, unit string) error {
	img, err := s.Use(ref, "", unit)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	upper, err := s.Upper(unit, img.Root)
	if err != nil {
		return err
	}
	for range 20 {
		for i, dir := range img.Lowers {
			if _, err := os.ReadFile(filepath.Join(dir, "common")); err != nil {
				return fmt.Errorf("lower %d of a running image: %w", i, err)
			}
		}
		if _, err := os.Stat(upper.Dir); err != nil {
			return err
		}
	}
	return errors.Join(s.RemoveUpper(unit), s.Unuse(unit))
}

// "Concurrent pulls, prunes and starts are safe (tested by many processes at
// once)." The images share layers, all of which write the same paths.
func TestManyProcesses(t *testing.T) {
	w := newWorld(t)
	var refs []string
	shared := tarOf(t, file{name: "common", content: "shared"}, file{name: "d/"}, file{name: "d/f", content: strings.Repeat("s", 50_000)})
	for i := range 3 {
		own := tarOf(t, file{name: "common", content: fmt.Sprint(i)}, file{name: "d/"}, file{name: "d/f", content: strings.Repeat(fmt.Sprint(i), 50_000)})
		refs = append(refs, w.push(fmt.Sprintf("app%d", i), "1", build(t, gz, shared, own)))
	}
	dir := t.TempDir() + "/store"
	var crowd []*exec.Cmd
	var outs []*strings.Builder
	for _, job := range []string{"pull-a", "pull-bb", "pull-ccc", "start-1", "start-2", "start-3", "prune-1", "prune-2", "remove-1"} {
		cmd, out := exec.Command("/proc/self/exe"), &strings.Builder{}
		cmd.Env = append(os.Environ(), "UNITC_TEST_CROWD="+job, "UNITC_TEST_STORE="+dir, "UNITC_TEST_WORLD="+w.dir, "UNITC_TEST_REFS="+strings.Join(refs, " "))
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		crowd, outs = append(crowd, cmd), append(outs, out)
	}
	for i, cmd := range crowd {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, outs[i])
		}
	}
	c := killClient(t, dir)
	c.AuthFile, c.RegistriesFile = w.client.AuthFile, w.client.RegistriesFile
	for i, ref := range refs {
		img, err := c.Pull(ctx, ref, PullOptions{})
		if err != nil || read(t, img, "common") != fmt.Sprint(i) {
			t.Errorf("%s afterwards: %v", ref, err)
		}
	}
	if faults, err := c.Verify(ctx, false); err != nil || len(faults) > 0 {
		t.Errorf("%v, %v", faults, err)
	}
	if _, err := c.Store.Collect(store.Prune{All: true, Dangling: true, Partial: true}); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, c.Store, "staging", "trash", "leases", "locks", "layers", "images", "blobs", "containers", "run"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
