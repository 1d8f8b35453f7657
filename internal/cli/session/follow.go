// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
)

// Follower shows what a container writes to the journal, from now on.
type Follower struct {
	// Units are those whose lines they are: what systemd says of them is not the
	// container's.
	Units []string
	// Ended is closed when the payload has ended.
	Ended <-chan struct{}
	// Forward is as an Attachment's.
	Forward func(unix.Signal)
	// Since is from when on, and At the same of the monotonic clock: where the wall
	// clock was set back, lines of before bear later times.
	Since time.Time
	At    time.Duration
	// Without are MESSAGE_IDs of entries that are not the container's either.
	Without []string

	cursor string // of the last line shown
}

// Run shows lines until the payload has ended, the last words included.
func (f *Follower) Run(to io.Writer) error {
	journal := exec.Command("journalctl", f.arguments("--follow")...)
	// Ctrl-C is for the payload, or for this program.
	journal.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lines, err := journal.StdoutPipe()
	if err == nil {
		err = journal.Start()
	}
	if err != nil {
		return fmt.Errorf("following the journal: %w", err)
	}
	shown := make(chan error, 1)
	go func() { shown <- f.show(lines, to) }()
	stop := func() {
		_ = journal.Process.Kill()
		_ = journal.Wait()
	}
	err = f.wait(shown)
	if !errors.Is(err, errPayloadEnded) {
		stop()
		return err
	}
	// Lines that are on their way are written first.
	late := SyncJournal()
	_ = journal.Process.Kill()
	err = <-shown
	_ = journal.Wait()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, os.ErrClosed) {
		return err
	}
	if err := f.lastWords(to); err != nil {
		return err
	}
	return late
}

var errPayloadEnded = errors.New("the payload has ended")

func (f *Follower) wait(shown chan error) error {
	signals := Catch()
	defer signals.Release()
	for {
		select {
		case <-f.Ended:
			return errPayloadEnded
		case err := <-shown:
			return fmt.Errorf("following the journal: %w", err)
		case s := <-signals.queue:
			number, _ := s.(syscall.Signal)
			switch {
			case number == unix.SIGHUP:
				return ErrHangup
			case f.Forward == nil:
				return ErrDetached
			}
			f.Forward(number)
		}
	}
}

// arguments select the lines that were not shown yet.
func (f *Follower) arguments(options ...string) []string {
	argv := append(options, "--quiet", "--no-pager", "--boot", "--output=export", "--output-fields=MESSAGE,MESSAGE_ID")
	if f.cursor != "" {
		argv = append(argv, "--after-cursor="+f.cursor)
	} else {
		argv = append(argv, fmt.Sprintf("--since=@%d.%06d", f.Since.Unix(), f.Since.Nanosecond()/1000))
	}
	for i, unit := range f.Units {
		if i > 0 {
			argv = append(argv, "+")
		}
		argv = append(argv, realm.SystemdUnitField()+"="+unit)
	}
	return argv
}

// lastWords shows what the follower has not come to.
func (f *Follower) lastWords(to io.Writer) error {
	rest := exec.Command("journalctl", f.arguments()...)
	lines, err := rest.StdoutPipe()
	if err == nil {
		err = rest.Start()
	}
	if err == nil {
		err = f.show(lines, to)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the last lines from the journal: %w", err)
	}
	_ = rest.Wait() // 1 where there are none
	return nil
}

// show prints the messages of a stream of entries.
func (f *Follower) show(from io.Reader, to io.Writer) error {
	in := bufio.NewReader(from)
	for {
		e, err := readEntry(in)
		if err != nil {
			return err
		}
		if !slices.Contains(f.Without, e.id) && e.at >= f.At {
			if _, err := io.WriteString(to, e.message); err != nil {
				return err
			}
		}
		f.cursor = e.cursor
	}
}

type entry struct {
	cursor, message, id string
	at                  time.Duration // of the monotonic clock
}

// maxField bounds one field of an entry, in bytes; journald's own limit of a
// line is far below.
const maxField = 64 << 20

// readEntry reads one entry of the Journal Export Format: lines NAME=value or,
// of a value that is no text, NAME, its length in 8 bytes, and the value; an
// empty line ends it (systemd.io/JOURNAL_EXPORT_FORMATS).
func readEntry(in *bufio.Reader) (e entry, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return e, nil
		}
		name, value, isText := strings.Cut(line, "=")
		if !isText {
			if value, err = readBinary(in); err != nil {
				return e, err
			}
		}
		switch name {
		case "__CURSOR":
			e.cursor = value
		case "MESSAGE":
			e.message = value + "\n"
		case "MESSAGE_ID":
			e.id = value
		case "__MONOTONIC_TIMESTAMP":
			us, _ := strconv.ParseInt(value, 10, 64)
			e.at = time.Duration(us) * time.Microsecond
		}
	}
}

func readBinary(in *bufio.Reader) (string, error) {
	var length uint64
	if err := binary.Read(in, binary.LittleEndian, &length); err != nil {
		return "", err
	}
	if length > maxField {
		return "", fmt.Errorf("a field of %d bytes", length)
	}
	value := make([]byte, length+1) // and the line's end
	if _, err := io.ReadFull(in, value); err != nil {
		return "", err
	}
	return string(value[:length]), nil
}
