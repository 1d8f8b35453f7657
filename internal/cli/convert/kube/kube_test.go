// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"strings"
	"testing"
)

func TestQuantity(t *testing.T) {
	for text, want := range map[string]string{"500m": "0.5", "1": "1", "1.5": "1.5", ".5": "0.5", "1Gi": "1073741824", "1e3": "1000", "1E3": "1000", "100M": "100000000", "2k": "2000",
		"12e-1": "1.2", "1n": "0.001", "-1": "-1", "+2Ki": "2048", "0.1Gi": "107374182.4"} {
		n, ok := Quantity(text)
		if !ok || Decimal(n) != want {
			t.Errorf("%s is %v, not %s", text, n, want)
		}
	}
	for _, text := range []string{"", "m", "1 Gi", "1GiB", "1ki", "0x1", "1e", "1e100", "Inf", "1/2", strings.Repeat("1", 100)} {
		if n, ok := Quantity(text); ok {
			t.Errorf("%q is %v", text, n)
		}
	}
	if n, _ := Quantity("9E"); n != nil {
		if whole, ok := Ceil(n.Mul(n, n)); ok {
			t.Errorf("what is too large is %d", whole)
		}
	}
}

func TestCalendar(t *testing.T) {
	for schedule, want := range map[string]string{
		"* * * * *": "*-*-* *:*:00", "5 4 * * *": "*-*-* 04:05:00", "*/15 * * * *": "*-*-* *:0,15,30,45:00", "0 0 1,15 * 3": "*-*-1,15 00:00:00|Wed *-*-* 00:00:00",
		"0 22 * * 1-5": "Mon..Fri *-*-* 22:00:00", "0 0 * * 7": "Sun *-*-* 00:00:00", "0 0 * * sun,sat,fri": "Fri..Sun *-*-* 00:00:00", "0 0 * * 0-6": "*-*-* 00:00:00",
		"0 0 1 jan *": "*-01-01 00:00:00", "@weekly": "Sun *-*-* 00:00:00", "@hourly": "*-*-* *:00:00", "10-12,30 5/6 * * *": "*-*-* 5,11,17,23:10..12,30:00",
	} {
		all, err := Calendar(schedule)
		if got := strings.Join(all, "|"); err != nil || got != want {
			t.Errorf("%s is %s (%v), not %s", schedule, got, err, want)
		}
	}
	for _, schedule := range []string{"", "* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "x * * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "@reboot", "1,, * * * *"} {
		if all, err := Calendar(schedule); err == nil {
			t.Errorf("%q is %q", schedule, all)
		}
	}
}

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "a", "B": "$(A)"}
	for text, want := range map[string]string{"$(A)": "a", "$$(A)": "$(A)", "$$$(A)": "$a", "$(C) $A $": "$(C) $A $", "$(A": "$(A", "$(B)": "$(A)", "x$(A)y$(A)": "xaya", "": ""} {
		if got := Expand(text, func(name string) (string, bool) { v, ok := values[name]; return v, ok }); got != want {
			t.Errorf("%s is %s, not %s", text, got, want)
		}
	}
}
