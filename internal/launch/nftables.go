// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/slack"
)

// nftPaths are where nft(8) is.
var nftPaths = []string{"/usr/local/sbin/nft", "/usr/sbin/nft", "/usr/bin/nft"}

// nftTimeout bounds nft: a rule may name a host, which it looks up.
const nftTimeout = 30 * time.Second

// maxRuleFaults is how many of nft's faults are told.
const maxRuleFaults = 5

// loadRules has nft(8) read the file of `x-nftables` in the payload's network
// namespace. nft gives the kernel all of a file or nothing; the rules end with
// the namespace, so there is nothing to clean up. A parser of our own would be
// another language than nft's: who asks for rules pays for a process.
func (s *starter) loadRules() error {
	file := s.plan.Rules
	if file == "" {
		return nil
	}
	if err := checkRules(file); err != nil {
		return err
	}
	nft, err := findNFT()
	if err != nil {
		return err
	}
	ns, err := s.networkNamespace()
	if err != nil {
		return err
	}
	defer ns.Close()
	ctx, cancel := context.WithTimeout(context.Background(), nftTimeout)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, nft, "-f", file)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stderr = &said
	if err := startWithin(ns, cmd); err != nil {
		return err
	}
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return rulesError(fmt.Sprintf("nft has not read %s within %v", file, nftTimeout), "write addresses in the place of names")
	case err != nil:
		return rulesError(ruleFaults(said.String(), err), "correct the file; `nft -c -f "+file+"` checks it")
	}
	return nil
}

func rulesError(what, cure string) error {
	return &planner.KeyError{Key: "x-nftables", What: what, Cure: cure}
}

// checkRules says itself what nft says of a file that it cannot read with a
// place that is none ("internal:0:0-0").
func checkRules(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return rulesError(fmt.Sprintf("opening %s: %v", file, errors.Unwrap(err)), "write the file, or correct the path")
	case !info.Mode().IsRegular():
		return rulesError(file+" is no file", "name a file of nft's rules")
	}
	return nil
}

func findNFT() (string, error) {
	for _, path := range nftPaths {
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", rulesError("nft is not installed", "run `apt install nftables`, or drop the key")
}

// startWithin starts cmd in another network namespace than this process's.
func startWithin(ns *os.File, cmd *exec.Cmd) error {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	theirs, err := ns.Stat()
	if err != nil {
		return err
	}
	if host, err := own.Stat(); err != nil || os.SameFile(host, theirs) {
		return errors.Join(err, rulesError("the container's network is the host's", "drop the key"))
	}
	// A child is born into the namespaces of the thread that forks it.
	goruntime.LockOSThread()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		goruntime.UnlockOSThread()
		return fmt.Errorf("setns to the container's network: %w", err)
	}
	slack.Restore()
	err = cmd.Start()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		// This thread is not to be used again: locked, it ends with its goroutine.
		return errors.Join(err, fmt.Errorf("setns back to the host's network: %w", back))
	}
	goruntime.UnlockOSThread()
	return err
}

// ruleFaults are nft's lines "FILE:LINE:COL-COL: Error: TEXT" as FILE:LINE:COL:
// TEXT, without the source that it shows below each.
func ruleFaults(said string, exit error) string {
	var faults []string
	for line := range strings.Lines(said) {
		at, text, found := strings.Cut(strings.TrimSpace(line), ": Error: ")
		if !found || len(faults) == maxRuleFaults {
			continue
		}
		if i := strings.LastIndexByte(at, '-'); i >= 0 {
			if _, err := strconv.Atoi(at[i+1:]); err == nil {
				at = at[:i]
			}
		}
		faults = append(faults, at+": "+text)
	}
	if faults == nil {
		return strings.TrimSpace(fmt.Sprintf("nft: %v: %s", exit, strings.Join(strings.Fields(said), " ")))
	}
	return strings.Join(faults, ", ")
}
