// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ParseProfile reads a profile in JSON. It is strict where Docker is not, for
// a rule that is skipped is a hole or a broken program: an unknown or repeated
// key, action, operator, architecture or flag is a fault. System calls of
// unknown name are none, since a profile may be newer than this program;
// Compile returns them. The error is a *ProfileError with every fault.
func ParseProfile(data []byte) (*Profile, error) {
	r := newJSONReader(data)
	p := &Profile{}
	r.profile(p)
	r.end()
	if len(r.faults) > 0 {
		slices.SortStableFunc(r.faults, func(a, b Fault) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Col - b.Col
		})
		return nil, &ProfileError{r.faults}
	}
	return p, nil
}

func (r *jsonReader) profile(p *Profile) {
	start, errno := r.place(), r.newErrno()
	r.object("", "defaultAction defaultErrnoRet defaultErrno architectures archMap flags listenerPath listenerMetadata syscalls",
		func(key, path string) {
			switch key {
			case "defaultAction":
				p.spec.DefaultAction = specs.LinuxSeccompAction(r.text(path))
			case "defaultErrnoRet", "defaultErrno":
				errno.read(key, path)
			case "architectures":
				p.spec.Architectures = r.arches(path)
			case "archMap":
				r.list(path, func(path string) { p.archMap = append(p.archMap, r.archMapEntry(path)) })
			case "flags":
				r.list(path, func(path string) { p.spec.Flags = append(p.spec.Flags, r.flag(path)) })
			case "listenerPath":
				p.spec.ListenerPath = r.text(path)
			case "listenerMetadata":
				p.spec.ListenerMetadata = r.text(path)
			case "syscalls":
				r.list(path, func(path string) { p.calls = append(p.calls, r.call(path)) })
			}
		})
	if r.broken {
		return
	}
	p.spec.DefaultErrnoRet = errno.value
	if _, err := returnValue(p.spec.DefaultAction, errno.value); err != nil {
		r.fault(start, "defaultAction", err.Error())
	}
	if len(p.archMap) > 0 && len(p.spec.Architectures) > 0 {
		r.fault(start, "archMap", "stands beside architectures; keep one of them")
	}
}

func (r *jsonReader) call(path string) (c profileCall) {
	start, errno, name := r.place(), r.newErrno(), ""
	whole := r.object(path, "names name action errnoRet errno args comment includes excludes", func(key, path string) {
		switch key {
		case "names":
			c.Names = r.texts(path)
		case "name": // Docker before 1.14
			name = r.text(path)
		case "action":
			c.Action = specs.LinuxSeccompAction(r.text(path))
		case "errnoRet", "errno":
			errno.read(key, path)
		case "args":
			r.list(path, func(path string) { c.Args = append(c.Args, r.arg(path)) })
		case "comment":
			r.text(path)
		case "includes":
			c.includes = r.filter(path)
		case "excludes":
			c.excludes = r.filter(path)
		}
	})
	if !whole {
		return c
	}
	switch {
	case name != "" && len(c.Names) > 0:
		r.fault(start, path, "has both name and names; keep names")
	case name != "":
		c.Names = []string{name}
	case len(c.Names) == 0:
		r.fault(start, path, "names: empty, at least one is needed")
	case slices.Contains(c.Names, ""):
		r.fault(start, path, "names: empty name")
	}
	c.ErrnoRet = errno.value
	if _, err := returnValue(c.Action, errno.value); err != nil {
		r.fault(start, path, err.Error())
	}
	return c
}

func (r *jsonReader) arg(path string) (a specs.LinuxSeccompArg) {
	start, seen := r.place(), ""
	whole := r.object(path, "index value valueTwo op", func(key, path string) {
		seen += " " + key
		switch key {
		case "index":
			a.Index = uint(r.number(path, math.MaxInt32))
		case "value":
			a.Value = r.number(path, math.MaxUint64)
		case "valueTwo":
			a.ValueTwo = r.number(path, math.MaxUint64)
		case "op":
			a.Op = specs.LinuxSeccompOperator(r.text(path))
		}
	})
	if !whole {
		return a
	}
	for _, key := range [...]string{"index", "value", "op"} {
		if !slices.Contains(strings.Fields(seen), key) {
			r.fault(start, path, key+" is missing")
			return a
		}
	}
	if err := checkArg(a); err != nil {
		r.fault(start, path, err.Error())
	}
	return a
}

func (r *jsonReader) filter(path string) (f callFilter) {
	r.object(path, "caps arches minKernel", func(key, path string) {
		switch key {
		case "caps":
			r.list(path, func(path string) {
				at, c := r.place(), r.text(path)
				if !strings.HasPrefix(c, "CAP_") {
					r.fault(at, path, fmt.Sprintf("%q is no capability; they are written CAP_SYS_ADMIN", c))
				}
				f.caps = append(f.caps, c)
			})
		case "arches":
			r.list(path, func(path string) {
				at, arch := r.place(), r.text(path)
				if !slices.Contains(dockerArches[:], arch) {
					r.fault(at, path, fmt.Sprintf("unknown architecture %q; write one of %s", arch, strings.Join(dockerArches[:], " ")))
				}
				f.arches = append(f.arches, arch)
			})
		case "minKernel":
			f.minKernel = r.kernel(path)
		}
	})
	return f
}

func (r *jsonReader) kernel(path string) Kernel {
	at, text := r.place(), r.text(path)
	if text == "" { // as if it were not there, in Docker too
		return Kernel{}
	}
	major, minor, _ := strings.Cut(text, ".")
	a, errA := strconv.ParseUint(major, 10, 16)
	b, errB := strconv.ParseUint(minor, 10, 16)
	if errA != nil || errB != nil || a == 0 {
		r.fault(at, path, fmt.Sprintf("%q is no kernel version; write \"4.8\"", text))
	}
	return Kernel{uint(a), uint(b)}
}

func (r *jsonReader) arches(path string) (arches []specs.Arch) {
	r.list(path, func(path string) { arches = append(arches, r.arch(path)) })
	return arches
}

func (r *jsonReader) arch(path string) specs.Arch {
	at, arch := r.place(), specs.Arch(r.text(path))
	if !slices.Contains(ociArches[:], arch) {
		r.fault(at, path, fmt.Sprintf("unknown architecture %q; they are written SCMP_ARCH_X86_64", arch))
	}
	return arch
}

func (r *jsonReader) archMapEntry(path string) (m archMapEntry) {
	start := r.place()
	whole := r.object(path, "architecture subArchitectures", func(key, path string) {
		switch key {
		case "architecture":
			m.arch = r.arch(path)
		case "subArchitectures":
			m.subs = r.arches(path)
		}
	})
	if whole && m.arch == "" {
		r.fault(start, path, "architecture is missing")
	}
	return m
}

func (r *jsonReader) flag(path string) specs.LinuxSeccompFlag {
	at, flag := r.place(), specs.LinuxSeccompFlag(r.text(path))
	if _, err := readFlags([]specs.LinuxSeccompFlag{flag}, nil); err != nil {
		r.fault(at, path, fmt.Sprintf("unknown flag %q", flag))
	}
	return flag
}

// errnoKeys reads the two ways in which an errno is written: Docker's number
// and podman's name, which may stand together if they agree.
type errnoKeys struct {
	r     *jsonReader
	value *uint
}

func (r *jsonReader) newErrno() *errnoKeys { return &errnoKeys{r: r} }

func (e *errnoKeys) read(key, path string) {
	at, r := e.r.place(), e.r
	var value uint
	if strings.HasSuffix(key, "Ret") {
		if r.null() {
			return
		}
		value = uint(r.number(path, math.MaxUint16))
	} else {
		name := r.text(path)
		if name == "" {
			return
		}
		if value = errnoByName(name); value == 0 {
			r.fault(at, path, fmt.Sprintf("unknown errno %q; they are written EPERM", name))
		}
	}
	if e.value != nil && *e.value != value {
		r.fault(at, path, fmt.Sprintf("%d, but the other errno beside it is %d", value, *e.value))
	}
	e.value = &value
}

func errnoByName(name string) uint {
	for n := unix.Errno(1); n <= unix.EHWPOISON; n++ {
		if unix.ErrnoName(n) == name {
			return uint(n)
		}
	}
	return 0
}
