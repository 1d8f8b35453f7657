// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/unitc/unitc/internal/relay/order"
)

// HealthState is what the checks of a container have found, as Docker has it
// (State.Health).
type HealthState struct {
	Status        string  `json:"status"` // starting, healthy, unhealthy
	FailingStreak int     `json:"failing_streak"`
	Log           []Check `json:"log"` // the last ones, oldest first
}

// Check is one of them.
type Check struct {
	Start    time.Time `json:"start"`
	End      time.Time `json:"end"`
	ExitCode int       `json:"exit_code"` // -1 = it did not come to its end
	Output   string    `json:"output"`
}

// maxCheck bounds what is read of one, in bytes; the relay keeps less.
const maxCheck = 16 << 10

// HealthState gives the last checks of a container's round, nil if it has made none.
func (h Host) HealthState(name, status string) *HealthState {
	state := &HealthState{Status: status}
	var last time.Time
	for n := range order.HealthChecks {
		c, streak, err := readCheck(h.path(name, order.HealthFile+strconv.Itoa(n)))
		if err != nil {
			continue // there is none yet, or it is not ours to read
		}
		state.Log = append(state.Log, c)
		if !c.End.Before(last) {
			state.FailingStreak, last = streak, c.End
		}
	}
	if len(state.Log) == 0 {
		return nil
	}
	slices.SortStableFunc(state.Log, func(a, b Check) int { return a.Start.Compare(b.Start) })
	return state
}

func readCheck(path string) (c Check, streak int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCheck))
	if err != nil {
		return c, 0, err
	}
	line, output, _ := bytes.Cut(data, []byte("\n"))
	var begun, ended int64
	if _, err := fmt.Sscan(string(line), &begun, &ended, &c.ExitCode, &streak); err != nil {
		return c, 0, fmt.Errorf("reading %s: %w", path, err)
	}
	c.Start, c.End, c.Output = time.UnixMicro(begun), time.UnixMicro(ended), string(output)
	return c, streak, nil
}
