// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseFloat takes finite decimal numbers only.
func parseFloat(s string) (float64, bool) {
	if s == "" || (s[len(s)-1] < '0' || s[len(s)-1] > '9') && s[len(s)-1] != '.' {
		return 0, false // most of what is no number, without the error that strconv makes of it
	}
	value, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) || strings.ContainsAny(s, "xXpP_") {
		return 0, false
	}
	return value, true
}

var numberFormat = format{
	name:    "number",
	pattern: numberPattern,
	check: func(s string) (string, string) {
		if _, ok := parseFloat(s); !ok {
			return quote(s) + " is no number", "write for example 0.5"
		}
		return "", ""
	},
}

const numberPattern = `^[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?$`

// byteUnits are powers of 1024, as Compose and the kernel count memory.
const byteUnits = "kmgtp"

// ParseBytes reads 512, 64k, 1.5gb, 1GiB; false if it is none of these.
func ParseBytes(s string) (int64, bool) {
	s = strings.ToLower(s)
	digits := strings.TrimRight(s, "bikmgtp ")
	unit := strings.TrimPrefix(s[len(digits):], " ")
	value, ok := parseFloat(digits)
	if !ok || value < 0 || strings.ContainsAny(digits, "e+-") {
		return 0, false
	}
	switch unit {
	case "", "b":
	default:
		power := strings.IndexByte(byteUnits, unit[0])
		if rest := unit[1:]; power < 0 || rest != "" && rest != "b" && rest != "i" && rest != "ib" {
			return 0, false
		}
		value *= math.Pow(1024, float64(power+1))
	}
	if value >= 1<<63 {
		return 0, false
	}
	return int64(value), true
}

var bytesFormat = format{
	name:    "bytes",
	pattern: `^[0-9]+(\.[0-9]*)? ?([kKmMgGtTpP][iI]?)?[bB]?$`, bounds: &bounds{high: 1 << 62},
	check: func(s string) (string, string) {
		if _, ok := ParseBytes(s); !ok {
			return quote(s) + " is no amount of memory", "write a number with b, k, m or g, as in 512m"
		}
		return "", ""
	},
}

// smallestMemory is the least memory limit that makes sense; below it a unit
// was forgotten.
const smallestMemory = 1 << 20

// memoryPattern is what is at least a megabyte, as far as digits can tell.
const memoryPattern = `^0[bB]?$|^[0-9]{7,}(\.[0-9]*)? ?[bB]?$|^[0-9]{4,}(\.[0-9]*)? ?[kK][iI]?[bB]?$|^[0-9]+(\.[0-9]*)? ?[mMgGtTpP][iI]?[bB]?$`

var memoryFormat = format{
	name:    "memory",
	pattern: memoryPattern, bounds: &bounds{low: smallestMemory, high: 1 << 62, orZero: true},
	check: func(s string) (string, string) {
		value, ok := ParseBytes(s)
		switch {
		case !ok:
			return bytesFormat.check(s)
		case value < smallestMemory && value > 0:
			cure := "write at least 1m"
			if number := strings.TrimRight(s, "bB "); isDigits(number) {
				cure = "write the unit too, as in " + number + "m"
			}
			return fmt.Sprintf("%s is %d bytes, too little for any process", quote(s), value), cure
		}
		return "", ""
	},
}

var swapFormat = format{
	name:    "memory-or-unlimited",
	pattern: memoryPattern + `|^-1$`, bounds: &bounds{low: smallestMemory, high: 1 << 62, orZero: true, orMinusOne: true},
	check: func(s string) (string, string) {
		if s == "-1" {
			return "", ""
		}
		return memoryFormat.check(s)
	},
}

// parseDuration reads Go's notation and, as Compose does, days and weeks.
func parseDuration(s string) (time.Duration, bool) {
	if s == "0" {
		return 0, true
	}
	var total time.Duration
	rest := s
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		digits, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		count, ok := parseFloat(digits)
		if !ok || count < 0 || count > 1e6 {
			return 0, false
		}
		total += time.Duration(count * float64(unit.length))
		rest = after
	}
	if rest == "" {
		return total, s != ""
	}
	value, err := time.ParseDuration(rest)
	if err != nil || value < 0 || total+value < total {
		return 0, false
	}
	return total + value, true
}

var durationFormat = format{
	name:    "duration",
	pattern: `^([0-9]+(\.[0-9]*)?(w|d|h|ms|m|s|us|µs|ns))+$|^0$`, bounds: &bounds{},
	check: func(s string) (string, string) {
		if _, ok := parseDuration(s); ok {
			return "", ""
		}
		cure := "write a number with h, m, s or ms, as in 1m30s"
		if _, ok := parseFloat(s); ok {
			cure = "write the unit too, as in " + s + "s"
		}
		return quote(s) + " is no length of time", cure
	},
}

const integerPattern = `^[+-]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+)$`

// bounds limit numbers. They stand in the schema; whole formats have no other
// check.
type bounds struct {
	low, high          int64
	orZero, orMinusOne bool // numbers out of bounds that mean something
	whole              bool
	cure               string
}

// test checks a scalar.
func (f *format) test(s string) (what, cure string) {
	switch {
	case f.check != nil:
		return f.check(s)
	case f.bounds == nil || !f.bounds.whole:
		return "", ""
	}
	value, ok := parseInt(s)
	switch {
	case !ok:
		return quote(s) + " is no whole number", f.bounds.cure
	case value < f.bounds.low || value > f.bounds.high:
		return fmt.Sprintf("%d is not between %d and %d", value, f.bounds.low, f.bounds.high), f.bounds.cure
	}
	return "", ""
}
