// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"strconv"
	"strings"
)

var (
	months   = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	named    = map[string]string{"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}
)

// Calendar says in the words of systemd.time(7) what a schedule of cron says. There are two
// where it names days of the month and of the week: cron takes those that are either.
func Calendar(schedule string) (all []string, err error) {
	schedule = strings.TrimSpace(schedule)
	if known := named[strings.ToLower(schedule)]; known != "" {
		schedule = known
	}
	words := strings.Fields(schedule)
	if len(words) != 5 {
		return nil, fmt.Errorf("%q is no schedule of five fields", schedule)
	}
	var parts [5]string
	for i, f := range []struct {
		low, high int
		names     []string
	}{{0, 59, nil}, {0, 23, nil}, {1, 31, nil}, {1, 12, months}, {0, 7, weekdays}} {
		if parts[i], err = cronField(words[i], f.low, f.high, f.names); err != nil {
			return nil, err
		}
	}
	minute, hour, day, month, weekday := parts[0], parts[1], parts[2], parts[3], parts[4]
	at := pad(hour) + ":" + pad(minute) + ":00"
	date := func(day string) string { return "*-" + pad(month) + "-" + pad(day) + " " + at }
	// A field that begins with an asterisk restricts nothing by itself.
	switch byDay, byWeekday := words[2][0] != '*' && words[2] != "?", words[4][0] != '*' && words[4] != "?"; {
	case byDay && byWeekday:
		return []string{date(day), weekday + " " + date("*")}, nil
	case weekday != "*":
		return []string{weekday + " " + date(day)}, nil
	}
	return []string{date(day)}, nil
}

// pad writes single numbers with two digits, as systemd does.
func pad(field string) string {
	if len(field) == 1 && field != "*" {
		return "0" + field
	}
	return field
}

// cronField gives a list of numbers, or of the names of days; "*" for all.
func cronField(text string, low, high int, names []string) (string, error) {
	isDay := len(names) == 7
	if text == "*" || text == "?" {
		return "*", nil
	}
	var marked [64]bool
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 || n > 64 {
				return "", fmt.Errorf("%q is no step", part)
			}
			step = n
		}
		from, to := low, high
		if isDay {
			to = 6
		}
		if span != "*" && span != "?" {
			first, last, isSpan := strings.Cut(span, "-")
			var err error
			if from, err = cronNumber(first, low, high, names); err != nil {
				return "", err
			}
			switch {
			case isSpan:
				if to, err = cronNumber(last, low, high, names); err != nil {
					return "", err
				}
			case !stepped:
				to = from
			}
		}
		if from > to {
			return "", fmt.Errorf("%q ends before it begins", part)
		}
		for n := from; n <= to; n += step {
			if isDay && n == 7 {
				marked[0] = true
				continue
			}
			marked[n] = true
		}
	}
	return spans(marked[:], low, high, isDay), nil
}

func cronNumber(text string, low, high int, names []string) (int, error) {
	for i, name := range names {
		if strings.EqualFold(text, name) {
			return i + low, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%q is not from %d to %d", text, low, high)
	}
	return n, nil
}

// spans writes numbers as systemd.time(7) has lists: 0,15,30..35 and Mon..Fri,Sun.
func spans(marked []bool, low, high int, isDay bool) string {
	write := strconv.Itoa
	if isDay { // weeks of systemd's begin with Monday
		marked[7] = marked[0]
		low, high = 1, 7
		write = func(n int) string { return strings.ToUpper(weekdays[n%7][:1]) + weekdays[n%7][1:] }
	}
	var parts []string
	total := 0
	for n := low; n <= high; n++ {
		if !marked[n] {
			continue
		}
		end := n
		for end < high && marked[end+1] {
			end++
		}
		total += end - n + 1
		switch {
		case end-n > 1:
			parts = append(parts, write(n)+".."+write(end))
		case end > n:
			parts = append(parts, write(n), write(end))
		default:
			parts = append(parts, write(n))
		}
		n = end
	}
	if total == high-low+1 {
		return "*"
	}
	return strings.Join(parts, ",")
}
