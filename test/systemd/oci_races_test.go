// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

func init() {
	ociCases = append(ociCases, ociCase{"calls at once on one container", func(b *bundle) error {
		if err := b.write(); err != nil {
			return err
		}
		verbs := [][]string{
			{"create", "--bundle", b.dir, b.id}, {"create", "--bundle", b.dir, b.id}, {"start", b.id}, {"start", b.id}, {"kill", b.id, "KILL"}, {"delete", b.id},
			{"delete", "--force", b.id}, {"state", b.id}, {"list"}, {"ps", "--format", "json", b.id}, {"run", "--bundle", b.dir, b.id},
			{"exec", b.id, "true"}, {"exec", "--detach", b.id, "sleep", "1000"}, {"update", "--pids-limit", "-1", b.id}, {"kill", "--all", b.id, "TERM"}, {"events", "--stats", b.id},
		}
		// What runs in the foreground ends soon.
		b.spec.Process.Args = []string{"sleep", "0.05"}
		if err := b.write(); err != nil {
			return err
		}
		const callers, calls = 6, 30
		errs := make([]error, callers)
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				// The same calls each time; which of them meet is chance.
				random := rand.New(rand.NewPCG(uint64(i), 9))
				for range calls {
					args := verbs[random.IntN(len(verbs))]
					// Who gets the lock of a directory before its maker finds it empty.
					out, status := b.call(args...)
					damaged := strings.Contains(out, "damaged") && !strings.Contains(out, "no such file")
					if strings.Contains(out, "goroutine ") || damaged || status < 0 {
						errs[i] = errors.Join(errs[i], fmt.Errorf("%q exits with %d: %s", args, status, out))
					}
				}
			})
		}
		group.Wait()
		return errors.Join(append(errs, b.ok("delete", "--force", b.id), b.create(), b.ok("start", b.id), b.awaitStatus("stopped"), b.ok("delete", b.id))...)
	}})
}
