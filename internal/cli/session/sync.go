// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// ErrJournald is a journald that does not answer: it stands still, or is far behind.
var ErrJournald = errors.New("systemd-journald does not answer; its last lines may be missing here, `systemctl status systemd-journald` says more")

// syncPatience is for a journald with much to write.
const syncPatience = 10 * time.Second

// SyncJournal waits until journald has written what it was sent; journalctl itself
// waits for that as long as journald takes. Who may not ask sees what there is.
func SyncJournal() error {
	ctx, cancel := context.WithTimeout(context.Background(), syncPatience)
	defer cancel()
	if err := exec.CommandContext(ctx, "journalctl", "--sync").Run(); err != nil && ctx.Err() != nil {
		return ErrJournald
	}
	return nil
}
