// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// ErrInterrupted is the error of a question that was not answered.
var ErrInterrupted = errors.New("interrupted")

// ReadHidden asks a question, and reads a line of at most so many bytes from a terminal
// that does not show it. The terminal is as it was when this returns, also where a signal
// ends the question.
func ReadHidden(f *os.File, question func(), most int) (string, error) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(signals)
	t := *before
	t.Lflag = t.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	t.Iflag |= unix.ICRNL
	// What was typed before the question is no answer to it: it was shown.
	if err := unix.IoctlSetTermios(fd, unix.TCSETSF, &t); err != nil {
		return "", err
	}
	defer func() { _ = unix.IoctlSetTermios(fd, unix.TCSETSF, before) }()
	question() // only now: who answers at once is heard
	type answer struct {
		line string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		var line []byte
		var c [1]byte
		for len(line) <= most {
			n, err := f.Read(c[:])
			if n == 1 && c[0] != '\n' {
				line = append(line, c[0])
				continue
			}
			if err == io.EOF {
				err = nil // its key ends an answer, too
			}
			done <- answer{string(line), err}
			return
		}
		done <- answer{string(line), nil} // the caller refuses it
	}()
	select {
	case a := <-done:
		return a.line, a.err
	case <-signals:
		return "", ErrInterrupted
	}
}
