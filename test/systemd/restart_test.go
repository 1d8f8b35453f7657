// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// "`Restart=on-failure` survives 200 `kill -9` in a row with no UnitExists and
// no growth of mounts, cgroups, units or files."
func TestRestartSurvivesKills(t *testing.T) {
	kills := map[placement]int{scoped: 200}
	var list []*container
	for _, p := range placements {
		list = append(list, p.define(t, "phoenix", endless+"\nrestart: on-failure", "RestartSec=0").start())
	}
	leavesNothing(t, func() {
		t.Run("kills", func(t *testing.T) {
			for _, c := range list {
				t.Run(c.placement.String(), func(t *testing.T) {
					t.Parallel()
					here := *c
					here.t = t
					here.killInARow(max(kills[c.placement], 30))
				})
			}
		})
	})
}

func (c *container) killInARow(times int) {
	for i := range times {
		pid := c.mainPID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			c.t.Fatalf("kill %d: %v", i, err)
		}
		await(c.t, fmt.Sprintf("%s is up again after kill %d", c.unit(), i+1), func() bool {
			return c.show("NRestarts") == strconv.Itoa(i+1) && c.show("SubState") == "running"
		})
	}
	if log := must(c.t, "journalctl", "-u", c.unit(), "-o", "cat", "--no-pager"); strings.Contains(log, "UnitExists") || strings.Contains(log, "error:") {
		c.t.Errorf("the journal tells of trouble:\n%s", log)
	}
}
