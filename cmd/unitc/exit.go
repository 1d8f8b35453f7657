// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/image"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/realm"
)

// Exit statuses; unitc(1) documents them.
const (
	exitOK        = 0
	exitFailed    = 1 // what was asked for did not work, or check found errors
	exitUsage     = 2 // the command line is wrong
	exitNotFound  = 3 // no definition or unit has this name
	exitForbidden = 4 // not permitted
	exitNoSystemd = 5 // systemd does not run here
)

// usageError is a wrong command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// statusError is an exit status for which all has been said.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// exitStatus chooses by the kind of an error, never by its text.
func exitStatus(err error) int {
	var status statusError
	var usage *usageError
	var notFound *catalog.NotFoundError
	var foreign *units.ForeignError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage), catalog.IsUsage(err):
		return exitUsage
	case errors.As(err, &notFound), errors.As(err, &foreign):
		return exitNotFound
	case errors.Is(err, units.ErrNoSystemd):
		return exitNoSystemd
	case errors.Is(err, fs.ErrPermission), units.IsDenied(err):
		return exitForbidden
	}
	return exitFailed
}

// cure is what to do about an error that does not say it itself.
func cure(err error) string {
	var bus *units.BusError
	var step *program.OpError
	switch {
	case errors.As(err, &step):
		return "" // of a container: what is missing there no root of the host has
	case errors.Is(err, units.ErrNoSystemd):
		return "start the machine with systemd as PID 1, or work on an image with --root"
	case errors.Is(err, fs.ErrPermission) && realm.Own() != nil:
		return "it is not this user's: look at HOME, XDG_CONFIG_HOME and XDG_DATA_HOME, and who owns it"
	case errors.Is(err, fs.ErrPermission):
		return "run it as root"
	case units.IsDenied(err):
		return "run it as root, or have polkit allow org.freedesktop.systemd1.manage-units"
	case errors.As(err, &bus):
		return "start dbus (systemctl start dbus.socket), or run it as root, which needs no bus"
	case errors.Is(err, unix.ENOSPC):
		return whatIsFull(err)
	case errors.Is(err, unix.EROFS):
		return "its file system is mounted read-only, as after a fault of the disk: look with `findmnt -T " + placeOf(err) + "` and `journalctl -k`"
	case errors.Is(err, unix.EDQUOT):
		return "a quota of its file system is used up (`findmnt -T " + placeOf(err) + "`): raise it, or remove something; `unitc prune` removes unused images"
	case errors.Is(err, unix.EIO), errors.Is(err, unix.ESTALE), errors.Is(err, unix.ENOTCONN) && isOfFile(err):
		return "its file system fails: look with `findmnt -T " + placeOf(err) + "` and `journalctl -k`"
	case errors.Is(err, unix.EMFILE):
		return "this program has no descriptors left: raise `ulimit -n`"
	case errors.Is(err, unix.ENFILE):
		return "the host has no descriptors left: raise /proc/sys/fs/file-max"
	case errors.Is(err, context.DeadlineExceeded):
		return "systemd is busy or hangs; systemctl list-jobs shows what it does"
	}
	return ""
}

// placeOf is the directory that an error of a file is about.
func placeOf(err error) string {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path) && filepath.IsAbs(path.Path):
		return filepath.Dir(path.Path)
	case errors.As(err, &link) && filepath.IsAbs(link.New):
		return filepath.Dir(link.New)
	}
	return "PATH"
}

// isOfFile tells an error of a file from one of a connection.
func isOfFile(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path)
}

// whatIsFull names a file system, which may be another than that of what was
// copied.
func whatIsFull(err error) string {
	var path *fs.PathError
	switch {
	case errors.Is(err, image.ErrSpace):
		return "`unitc prune` removes unused images"
	case errors.As(err, &path) && filepath.IsAbs(path.Path):
		dir := filepath.Dir(path.Path)
		return fmt.Sprintf("its file system is full: look with `df %s` and `df -i %[1]s`", dir)
	}
	return "the file system that it goes to is full: look there with `df` and `df -i`"
}
