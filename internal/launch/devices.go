// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/cdi"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/quickjson"
	"github.com/unitc/unitc/internal/slack"
)

// inspectDevices asks for the nodes of devices, those that specifications of
// the Container Device Interface name among them.
func inspectDevices(s *definition.Service, f *planner.Facts) error {
	for _, d := range s.Devices {
		if err := inspectDirectory(d.Source, f); err != nil {
			return err
		}
		inspectNode(d.Source, f)
	}
	if s.Privileged && s.Bundle == "" {
		if err := inspectDirectory(planner.HostDevices, f); err != nil {
			return err
		}
	}
	if len(s.CDI) == 0 {
		return nil
	}
	var err error
	if f.CDI, err = askCDI(s.CDI); err != nil {
		return err
	}
	for i := range f.CDI.Nodes {
		inspectNode(f.CDI.Nodes[i].Source(), f)
	}
	return nil
}

// maxNodes bounds the devices of a directory.
const maxNodes = 4096

// ownDevices are those of /dev that each container has of its own.
var ownDevices = []string{"console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "tty", "urandom", "zero"}

// inspectDirectory asks for the nodes below a directory, links left out.
func inspectDirectory(dir string, f *planner.Facts) error {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil // a node, or nothing
	}
	nodes := []string{}
	err := filepath.WalkDir(dir, func(path string, item fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // unplugged meanwhile
		case err != nil:
			return err
		case filepath.Dir(path) == planner.HostDevices && slices.Contains(ownDevices, item.Name()):
			if item.IsDir() {
				return fs.SkipDir
			}
		case item.Type()&fs.ModeDevice != 0:
			inspectNode(path, f)
			if _, there := f.Devices[path]; there {
				nodes = append(nodes, path)
			}
			if len(nodes) > maxNodes {
				return fmt.Errorf("more than %d devices are in %s", maxNodes, dir)
			}
		}
		return nil
	})
	if f.DeviceDirs == nil {
		f.DeviceDirs = map[string][]string{}
	}
	f.DeviceDirs[dir] = nodes
	return err
}

func inspectNode(path string, f *planner.Facts) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return // the planner reports it
	}
	kind := map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b"}[st.Mode&unix.S_IFMT]
	if kind == "" {
		return
	}
	if f.Devices == nil {
		f.Devices = map[string]planner.Device{}
	}
	f.Devices[path] = planner.Device{
		Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)), Mode: st.Mode & 0o777, UID: st.Uid, GID: st.Gid,
	}
}

// cdiTimeout bounds the reading of a few files.
const cdiTimeout = 30 * time.Second

// askCDI has the command read the specifications: most are YAML, which no
// helper links. Starts without such devices do not pay for it.
func askCDI(devices []definition.CDIDevice) (*cdi.Edits, error) {
	args := []string{"devices", "--"}
	for _, d := range devices {
		args = append(args, d.Name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cdiTimeout)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, buildinfo.CommandPath, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := slack.Run(cmd.Run); err != nil {
		what := strings.TrimPrefix(strings.TrimSpace(complaint.String()), "unitc: ")
		if what == "" {
			return nil, fmt.Errorf("%s: %w", buildinfo.CommandPath, err)
		}
		return nil, &planner.KeyError{Key: devices[0].Key, What: what, Cure: "`unitc devices` shows what this host has"}
	}
	e := &cdi.Edits{}
	if err := quickjson.Parse(out.Bytes(), e); err != nil {
		return nil, fmt.Errorf("reading what %s says of devices: %w", buildinfo.CommandPath, err)
	}
	return e, nil
}
