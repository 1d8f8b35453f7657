// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// naiveRule is a rule for the call in question.
type naiveRule struct {
	key     string // the smallest counts, see naiveKey
	matches bool
	ret     uint32
}

// naive decides a call by reading the profile from top to bottom for each, in
// the words of the package comment and with nothing of the compiler but the
// numbers and the tables of names. It is slow and short on purpose.
func naive(spec *specs.LinuxSeccomp, native uint32, c call) uint32 {
	b, ok := naiveABI(spec, native, c)
	if !ok {
		return unix.SECCOMP_RET_KILL_PROCESS
	}
	other := naiveReturn(spec.DefaultAction, spec.DefaultErrnoRet)
	newest := int64(-1)
	var rules []naiveRule
	for _, s := range spec.Syscalls {
		ret := naiveReturn(s.Action, s.ErrnoRet)
		for _, name := range s.Names {
			nr, ok := naiveNumber(name, b)
			if ok && nr&^x32Bit < armPrivate {
				newest = max(newest, int64(nr))
			}
			if !ok || nr != c.nr || ret == other {
				continue
			}
			for _, args := range naiveSplit(s.Args) {
				rules = append(rules, naiveRule{naiveKey(args, b.narrow), naiveMatch(args, c, b.narrow), ret})
			}
		}
	}
	newestMux, muxed := naiveMux(spec, c, b, other)
	newest, rules = max(newest, newestMux), append(rules, muxed...)
	for _, r := range rules {
		if r.key == "" { // it asks nothing and decides alone
			return r.ret
		}
	}
	slices.SortStableFunc(rules, func(a, b naiveRule) int { return strings.Compare(a.key, b.key) })
	for _, r := range rules {
		if r.matches {
			return r.ret
		}
	}
	errno := other&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_ERRNO
	if errno && newest >= 0 && int64(c.nr) > newest && len(rules) == 0 {
		return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	}
	return other
}

// naiveSplit makes rules of arguments: one, or one each if any stands twice.
func naiveSplit(args []specs.LinuxSeccompArg) (rules [][]specs.LinuxSeccompArg) {
	if len(args) == 0 {
		return [][]specs.LinuxSeccompArg{nil}
	}
	seen := map[uint]bool{}
	for _, a := range args {
		rules = append(rules, []specs.LinuxSeccompArg{a})
		seen[a.Index] = true
	}
	if len(seen) == len(args) {
		return [][]specs.LinuxSeccompArg{args}
	}
	return rules
}

// naiveKey sorts as order.go says: higher arguments first; equality, upper,
// lower bounds; greater values first, or smaller ones as upper bounds.
func naiveKey(args []specs.LinuxSeccompArg, narrow bool) (key string) {
	for index := range uint(maxArgs) {
		for _, a := range args {
			value, mask, kind := a.Value, uint64(math.MaxUint64), "1"
			switch a.Op {
			case specs.OpMaskedEqual:
				value, mask = a.ValueTwo&a.Value, a.Value
			case specs.OpLessThan, specs.OpLessEqual:
				kind = "2"
			case specs.OpGreaterThan, specs.OpGreaterEqual:
				kind = "3"
			}
			if narrow {
				value, mask = value&math.MaxUint32, mask&math.MaxUint32
			}
			if a.Index != index || mask == 0 {
				continue
			}
			if kind != "2" {
				value = math.MaxUint64 - value
			}
			key += fmt.Sprintf("%d%s%020d", maxArgs-index, kind, value)
		}
	}
	return key
}

// naiveABI finds the way a call came in; false if the profile closes it.
func naiveABI(spec *specs.LinuxSeccomp, native uint32, c call) (abi, bool) {
	// -1 is a call of neither ABI, and a foreign one only if nobody asked.
	x32 := c.nr >= x32Bit && (c.nr < math.MaxUint32 || slices.Contains(spec.Architectures, specs.ArchX32))
	for i, b := range abisOf(native) {
		if b.audit == c.arch && (c.arch != unix.AUDIT_ARCH_X86_64 || x32 == b.isX32()) {
			return b, i == 0 || slices.Contains(spec.Architectures, b.arch)
		}
	}
	return abi{}, false
}

var rowsByName = sync.OnceValue(func() map[string]syscallRow {
	rows := map[string]syscallRow{}
	for _, row := range syscallTable {
		rows[row.name] = row
	}
	return rows
})

func naiveNumber(name string, b abi) (uint32, bool) {
	row, ok := rowsByName()[name]
	if !ok || row.nr[b.column] < 0 {
		return 0, false
	}
	return uint32(row.nr[b.column]) + b.base(), true
}

// naiveMux gives the rules for socketcall and ipc that follow from those for
// the calls behind them, and the highest of their numbers that has any: it
// counts as named.
func naiveMux(spec *specs.LinuxSeccomp, c call, b abi, other uint32) (newest int64, rules []naiveRule) {
	newest = -1
	if b.column != columnI386 {
		return newest, nil
	}
	numbers := map[string]int64{"socketcall": 102, "ipc": 117}
	for _, withArgs := range []bool{false, true} {
		for _, s := range spec.Syscalls {
			ret := naiveReturn(s.Action, s.ErrnoRet)
			looser := naiveRank(ret) <= naiveRank(other)
			if ret == other || withArgs != (len(s.Args) > 0) || withArgs && looser {
				continue
			}
			for _, name := range s.Names {
				mux, n := muxCall(name)
				if mux == "" {
					continue
				}
				newest = max(newest, numbers[mux])
				if numbers[mux] == int64(c.nr) {
					args := []specs.LinuxSeccompArg{arg(0, specs.OpMaskedEqual, 0xffff, n)}
					rules = append(rules, naiveRule{naiveKey(args, b.narrow), naiveMatch(args, c, b.narrow), ret})
				}
			}
		}
	}
	return newest, rules
}

// naiveRank is the strictness of an action by seccomp(2), the strictest last.
func naiveRank(ret uint32) int {
	for i, action := range []uint32{
		unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_TRACE, unix.SECCOMP_RET_USER_NOTIF,
		unix.SECCOMP_RET_ERRNO, unix.SECCOMP_RET_TRAP, unix.SECCOMP_RET_KILL_THREAD, unix.SECCOMP_RET_KILL_PROCESS,
	} {
		if ret&0xffff0000 == action {
			return i
		}
	}
	panic("not an action")
}

func naiveMatch(args []specs.LinuxSeccompArg, c call, narrow bool) bool {
	for _, arg := range args {
		if !naiveHolds(arg, c.args[arg.Index], narrow) {
			return false
		}
	}
	return true
}

func naiveHolds(arg specs.LinuxSeccompArg, v uint64, narrow bool) bool {
	value, two := arg.Value, arg.ValueTwo
	if narrow {
		v, value, two = v&math.MaxUint32, value&math.MaxUint32, two&math.MaxUint32
	}
	switch arg.Op {
	case specs.OpNotEqual:
		return v != value
	case specs.OpLessThan:
		return v < value
	case specs.OpLessEqual:
		return v <= value
	case specs.OpEqualTo:
		return v == value
	case specs.OpGreaterEqual:
		return v >= value
	case specs.OpGreaterThan:
		return v > value
	case specs.OpMaskedEqual:
		return v&value == two&value
	}
	panic("not an operator")
}

func naiveReturn(action specs.LinuxSeccompAction, errno *uint) uint32 {
	data := uint32(unix.EPERM)
	if errno != nil {
		data = uint32(*errno)
	}
	switch action {
	case specs.ActKill, specs.ActKillThread:
		return 0
	case specs.ActKillProcess:
		return 0x80000000
	case specs.ActTrap:
		return 0x00030000
	case specs.ActErrno:
		return 0x00050000 | data
	case specs.ActNotify:
		return 0x7fc00000
	case specs.ActTrace:
		return 0x7ff00000 | data
	case specs.ActLog:
		return 0x7ffc0000
	case specs.ActAllow:
		return 0x7fff0000
	}
	panic("not an action")
}
