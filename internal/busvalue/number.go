// SPDX-License-Identifier: Apache-2.0

package busvalue

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// amount is a number with an IEC suffix, "infinity", or a percentage, which
// the Scale form of the property takes as a part of 2^32-1.
func amount(value string, suffixes bool) (any, string, error) {
	if value == "infinity" || value == "" {
		return uint64(math.MaxUint64), "", nil
	}
	if strings.HasSuffix(value, "%") {
		scale, err := part(value)
		return scale, "Scale", err
	}
	if !suffixes {
		n, err := strconv.ParseUint(value, 10, 64)
		return n, "", err
	}
	n, err := size(value, 1024)
	return n, "", err
}

// size reads "64M"; base is 1024 for memory and 1000 for rates
// (systemd.resource-control(5)).
func size(value string, base float64) (uint64, error) {
	if value == "infinity" {
		return math.MaxUint64, nil
	}
	number := strings.TrimRight(value, "KMGTPEB")
	factor := 1.0
	if s := value[len(number):]; len(s) > 1 {
		return 0, fmt.Errorf("%q is not a size; write a number with K, M, G or T", value)
	} else if s != "" && s != "B" {
		factor = math.Pow(base, float64(strings.Index("KMGTPE", s)+1))
	}
	if n, err := strconv.ParseUint(number, 10, 64); err == nil && factor == 1 {
		return n, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f < 0 || math.IsNaN(f) || f*factor >= math.MaxUint64 {
		return 0, fmt.Errorf("%q is not a size; write a number with K, M, G or T", value)
	}
	return uint64(f * factor), nil
}

// part of 2^32-1: more than all of it is none.
func part(value string) (uint32, error) {
	p, err := percent(value)
	if err == nil && p > 100 {
		err = fmt.Errorf("%q is more than all there is", value)
	}
	if err != nil {
		return 0, err
	}
	return uint32(p / 100 * math.MaxUint32), nil
}

// weight is what cgroup v2 takes; "idle" is 0.
func weight(value string) (uint64, error) {
	if value == "idle" {
		return 0, nil
	}
	if value == "" {
		return math.MaxUint64, nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n < 1 || n > 10000 {
		return 0, fmt.Errorf("%q is no weight, a number from 1 to 10000", value)
	}
	return n, nil
}

// quota is µs in each second.
func quota(value string) (uint64, error) {
	if value == "infinity" || value == "" {
		return math.MaxUint64, nil
	}
	p, err := percent(value)
	if us := math.Round(p * 10000); err == nil && (us < 1 || us > math.MaxInt64) {
		err = fmt.Errorf("%q is no share of a processor such as 50%%", value)
	}
	if err != nil {
		return 0, err
	}
	return uint64(math.Round(p * 10000)), nil
}

func percent(value string) (float64, error) {
	p, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
	if err != nil || p < 0 || math.IsNaN(p) || math.IsInf(p, 0) || !strings.HasSuffix(value, "%") {
		return 0, fmt.Errorf("%q is not a percentage such as 50%%", value)
	}
	return p, nil
}

func boolean(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "yes", "y", "true", "t", "on", "1":
		return true, nil
	case "no", "n", "false", "f", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither yes nor no", value)
}

// spanUnits of systemd.time(7), in µs.
var spanUnits = map[string]float64{
	"us": 1, "usec": 1, "µs": 1, "ms": 1e3, "msec": 1e3, "": 1e6, "s": 1e6, "sec": 1e6, "second": 1e6, "seconds": 1e6,
	"m": 60e6, "min": 60e6, "minute": 60e6, "minutes": 60e6, "h": 3600e6, "hr": 3600e6, "hour": 3600e6, "hours": 3600e6,
	"d": 86400e6, "day": 86400e6, "days": 86400e6, "w": 604800e6, "week": 604800e6, "weeks": 604800e6,
}

// span reads "1min 30s"; "infinity" is the largest number.
func span(value string) (uint64, error) {
	if value == "infinity" {
		return math.MaxUint64, nil
	}
	total, rest := 0.0, strings.ReplaceAll(value, " ", "")
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		n, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a time span such as 1min 30s", value)
		}
		rest = rest[digits:]
		letters := strings.IndexAny(rest, "0123456789.")
		if letters < 0 {
			letters = len(rest)
		}
		unit, ok := spanUnits[rest[:letters]]
		if !ok {
			return 0, fmt.Errorf("%q is not a time span such as 1min 30s", value)
		}
		total, rest = total+n*unit, rest[letters:]
	}
	if total >= math.MaxUint64 {
		return 0, fmt.Errorf("%q is longer than any time", value)
	}
	return uint64(total), nil
}

// bitmap reads a list such as "0-3,5" into bits, least first.
func bitmap(value string) ([]byte, error) {
	var bits []byte
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }) {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 16)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 16)
		}
		if err != nil || b < a || b >= 8192 {
			return nil, fmt.Errorf("%q is not a list such as 0-3,5", value)
		}
		for ; a <= b; a++ {
			for uint64(len(bits)) <= a/8 {
				bits = append(bits, 0)
			}
			bits[a/8] |= 1 << (a % 8)
		}
	}
	return bits, nil
}
