// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// option is one flag; value is empty for those that take none.
type option struct{ long, short, value, help string }

// options are the flags that were given, by long name.
type options map[string][]string

func (o options) has(name string) bool { return o.get(name) == "true" }
func (o options) given(name string) bool {
	return len(o[name]) > 0
}

func (o options) get(name string) string {
	if v := o[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// integer is a number in any base that Go writes.
func (o options) integer(name string) (int64, error) {
	n, err := strconv.ParseInt(o.get(name), 0, 64)
	if err != nil {
		return 0, fmt.Errorf("invalid value %q for flag -%s: not a number", o.get(name), name)
	}
	return n, nil
}

// parse takes flags off args: "--name value", "--name=value", "-n value". A
// lone "--" ends them; with stop the first argument does.
func (o *options) parse(args []string, known []option, stop bool) (rest []string, err error) {
	if *o == nil {
		*o = options{}
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(rest, args[i+1:]...), nil
		}
		if len(a) < 2 || a[0] != '-' {
			if stop {
				return append(rest, args[i:]...), nil
			}
			rest = append(rest, a)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		k := slices.IndexFunc(known, func(k option) bool { return name == k.long || name == k.short && name != "" })
		if k < 0 {
			return nil, fmt.Errorf("flag provided but not defined: -%s", name)
		}
		switch {
		case known[k].value == "" && !hasValue:
			value = "true"
		case known[k].value == "":
			b, err := strconv.ParseBool(value)
			if err != nil {
				return nil, fmt.Errorf("invalid boolean value %q for -%s", value, name)
			}
			value = strconv.FormatBool(b)
		case !hasValue && i+1 == len(args):
			return nil, fmt.Errorf("flag needs an argument: -%s", name)
		case !hasValue:
			i++
			value = args[i]
		}
		(*o)[known[k].long] = append((*o)[known[k].long], value)
	}
	return rest, nil
}
