// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// resctrlRoot is where the kernel's resctrl is mounted. Few machines have it, so
// a test has a directory of its own and does not ask for the magic.
var (
	resctrlRoot  = "/sys/fs/resctrl"
	resctrlMagic = int64(unix.RDTGROUP_SUPER_MAGIC)
)

// ErrNoResctrl is a host without resctrl.
var ErrNoResctrl = errors.New("no resctrl is mounted at /sys/fs/resctrl")

// resctrlGroup is where linux.intelRdt puts a container (runtime-spec
// config-linux.md, "IntelRdt").
type resctrlGroup struct {
	dir     string
	own     bool     // named after the container: made for it, and removed with it
	exists  bool     // whether it must be there: nothing says what to write
	compare []string // lines that one of another's must have
	write   []string // lines for a new one, in this order
	always  []string // lines for any
	monitor string   // the container's monitoring group, "" = none
}

func resctrlOf(r *specs.LinuxIntelRdt, id string) (*resctrlGroup, error) {
	name := r.ClosID
	g := &resctrlGroup{own: name == ""}
	if g.own {
		name = id
	}
	names := []string{name}
	if r.EnableMonitoring {
		names = append(names, id)
	}
	for _, part := range names {
		// Those of the kernel's own directories would be groups of nobody.
		reserved := slices.Contains([]string{"", ".", "..", "info", "mon_groups", "mon_data"}, part)
		if part != "/" && (reserved || strings.ContainsAny(part, "/\n\x00")) {
			return nil, fmt.Errorf("linux.intelRdt: %q is not the name of a group", part)
		}
	}
	for _, line := range append([]string{r.L3CacheSchema, r.MemBwSchema}, r.Schemata...) {
		if strings.ContainsAny(line, "\n\x00") {
			return nil, fmt.Errorf("linux.intelRdt: %q is more than one line", line)
		}
	}
	if r.MemBwSchema != "" && !strings.HasPrefix(r.MemBwSchema, "MB:") {
		return nil, fmt.Errorf("linux.intelRdt.memBwSchema %q does not begin with %q", r.MemBwSchema, "MB:")
	}
	g.dir = filepath.Join(resctrlRoot, name)
	for _, line := range []string{r.L3CacheSchema, r.MemBwSchema} {
		if line != "" {
			g.compare, g.write = append(g.compare, line), append(g.write, line)
		}
	}
	g.always = r.Schemata
	g.exists = !g.own && len(g.write)+len(g.always) == 0
	if r.EnableMonitoring {
		g.monitor = filepath.Join(g.dir, "mon_groups", id)
	}
	return g, nil
}

// joinResctrl puts a new container's first process into its group. A failure
// leaves nothing of it.
func (l *Launch) joinResctrl(pid int) error {
	r := l.spec.Linux.IntelRdt
	if r == nil {
		return nil
	}
	g, err := resctrlOf(r, l.opt.ID)
	if err == nil {
		err = resctrlMounted()
	}
	if err != nil {
		return err
	}
	if err := g.make(); err != nil {
		return errors.Join(err, g.remove())
	}
	if err := g.enter(pid); err != nil {
		return errors.Join(err, g.remove())
	}
	return nil
}

func resctrlMounted() error {
	var st unix.Statfs_t
	if err := unix.Statfs(resctrlRoot, &st); err != nil || resctrlMagic != 0 && int64(st.Type) != resctrlMagic {
		return fmt.Errorf("linux.intelRdt: %w: `mount -t resctrl resctrl /sys/fs/resctrl`; the processor and the kernel (CONFIG_X86_CPU_RESCTRL) must have it", ErrNoResctrl)
	}
	return nil
}

func (g *resctrlGroup) make() error {
	lines := append(slices.Clone(g.write), g.always...)
	_, err := os.Stat(g.dir)
	switch {
	case err == nil && g.own:
		return fmt.Errorf("linux.intelRdt: %s is there already: it belongs to another container of this name", g.dir)
	case err == nil:
		if err := g.has(g.compare); err != nil {
			return err
		}
		lines = g.always
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("linux.intelRdt: %w", err)
	case g.exists:
		return fmt.Errorf("linux.intelRdt: the group %s is not there, and no schema says how to make it", g.dir)
	default:
		if err := os.Mkdir(g.dir, 0o755); err != nil {
			return g.explain(err)
		}
	}
	for _, line := range lines {
		if err := g.put(g.dir+"/schemata", line); err != nil {
			return err
		}
	}
	if len(lines) > 0 {
		// Bandwidths are rounded by the kernel; bitmasks are not.
		if err := g.has(slices.DeleteFunc(lines, func(s string) bool { return strings.HasPrefix(s, "MB:") })); err != nil {
			return err
		}
	}
	if g.monitor == "" {
		return nil
	}
	if err := os.Mkdir(g.monitor, 0o755); err != nil {
		return g.explain(err)
	}
	return nil
}

// enter moves a process and reads back that it is there.
func (g *resctrlGroup) enter(pid int) error {
	for _, dir := range []string{g.dir, g.monitor} {
		if dir == "" {
			continue
		}
		if err := g.put(dir+"/tasks", strconv.Itoa(pid)); err != nil {
			return err
		}
		b, err := os.ReadFile(dir + "/tasks")
		if err != nil || !slices.Contains(strings.Fields(string(b)), strconv.Itoa(pid)) {
			return fmt.Errorf("linux.intelRdt: process %d is not in %s (%v)", pid, dir, err)
		}
	}
	return nil
}

func (g *resctrlGroup) put(file, line string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return g.explain(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err != nil {
		return g.explain(fmt.Errorf("%q: %w", line, err))
	}
	return nil
}

// explain adds the kernel's own words on the last thing it was told.
func (g *resctrlGroup) explain(err error) error {
	words, _ := os.ReadFile(resctrlRoot + "/info/last_cmd_status")
	if text := strings.TrimSpace(string(words)); text != "" && text != "ok" {
		return fmt.Errorf("linux.intelRdt: %w (%s)", err, text)
	}
	return fmt.Errorf("linux.intelRdt: %w", err)
}

// has compares lines such as "L3:0=ff;1=0f" with what the group has.
func (g *resctrlGroup) has(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	b, err := os.ReadFile(g.dir + "/schemata")
	if err != nil {
		return g.explain(err)
	}
	got := schemata(strings.Split(string(b), "\n"))
	for key, want := range schemata(lines) {
		if got[key] != want {
			return fmt.Errorf("linux.intelRdt: the group %s has %s=%s in its schemata, and not %s", g.dir, key, got[key], want)
		}
	}
	return nil
}

// schemata is "L3:0" to "ff"; later lines win. The kernel pads both with spaces
// and zeros.
func schemata(lines []string) map[string]string {
	values := map[string]string{}
	for _, line := range lines {
		resource, domains, _ := strings.Cut(strings.TrimSpace(line), ":")
		for _, d := range strings.Split(domains, ";") {
			if id, value, ok := strings.Cut(strings.TrimSpace(d), "="); ok {
				values[resource+":"+strings.TrimSpace(id)] = strings.ToLower(strings.TrimLeft(strings.TrimSpace(value), "0"))
			}
		}
	}
	return values
}

// remove removes what was made for the container alone.
func (g *resctrlGroup) remove() error {
	var errs []error
	for _, dir := range []string{g.monitor, g.dir} {
		if dir == "" || dir == g.dir && !g.own {
			continue
		}
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// removeResctrl is the end of a container's group.
func removeResctrl(spec *specs.Spec, id string) error {
	if spec.Linux == nil || spec.Linux.IntelRdt == nil {
		return nil
	}
	g, err := resctrlOf(spec.Linux.IntelRdt, id)
	if err != nil {
		return nil // it was never made
	}
	return g.remove()
}
