// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"time"

	"github.com/unitc/unitc/internal/journal/catchup"
)

// ErrJournald is a journald that does not answer: it stands still, or is far behind.
var ErrJournald = errors.New("systemd-journald does not answer; its last lines may be missing here, `systemctl status systemd-journald` says more")

// syncPatience is for a journald with much to write.
const syncPatience = 10 * time.Second

// SyncJournal waits until journald has written what it was sent. Who may not ask sees
// what there is.
func SyncJournal() error {
	ctx, cancel := context.WithTimeout(context.Background(), syncPatience)
	defer cancel()
	if !catchup.Wait(ctx) {
		return ErrJournald
	}
	return nil
}
