// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path"
	"strings"
)

const modulePath = "github.com/unitc/unitc/"

// skipList says which tests may skip, and why: patterns of path.Match for lane,
// package and test, then the reason.
type skipList []struct{ lane, pkg, test, why string }

func readSkips(file string) (skipList, error) {
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseSkips(string(b))
}

func parseSkips(text string) (skipList, error) {
	var list skipList
	n := 0
	for line := range strings.Lines(text) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 4 {
			return nil, fmt.Errorf("skips.txt:%d: want LANE PACKAGE TEST REASON", n)
		}
		list = append(list, struct{ lane, pkg, test, why string }{
			fields[0], fields[1], fields[2], strings.Join(fields[3:], " ")})
	}
	return list, nil
}

func (l skipList) reason(id testID) string {
	for _, s := range l {
		pkg := strings.TrimPrefix(id.pkg, modulePath)
		if match(s.lane, id.lane) && match(s.pkg, pkg) && match(s.test, id.test) {
			return s.why
		}
	}
	return ""
}

func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
