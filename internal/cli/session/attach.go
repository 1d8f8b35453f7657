// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/order"
)

// Ends of an attachment that are not the payload's.
var (
	// ErrDetached is an operator who has typed the keys.
	ErrDetached = errors.New("detached")
	// ErrCrowded is a relay that takes no more of them.
	ErrCrowded = errors.New("too many have joined it already")
)

// Attachment is a connection to the relay of a container whose streams others
// may join.
type Attachment struct {
	conn *net.UnixConn
	// Terminal says that the payload has one.
	Terminal bool
	// Keys let the operator go while the payload goes on; nil = none do.
	Keys []byte
	// Forward is given the signals that are meant for the payload; nil = they end
	// the attachment.
	Forward func(unix.Signal)
}

// Attach joins the streams of a payload.
func Attach(path string) (*Attachment, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	var word [1]byte
	switch n, err := conn.Read(word[:]); {
	case err != nil || n == 0:
		conn.Close()
		return nil, fmt.Errorf("joining %s: %w", path, errors.Join(err, io.ErrUnexpectedEOF))
	case word[0] == order.AttachRefused:
		conn.Close()
		return nil, ErrCrowded
	}
	return &Attachment{conn: conn, Terminal: word[0] == order.AttachTerminal}, nil
}

// Close leaves.
func (a *Attachment) Close() { a.conn.Close() }

// Run carries keys and output until the payload's output is at its end, which
// gives nil. The end of own.In ends nothing: others may type on.
func (a *Attachment) Run(own Streams) error {
	defer a.conn.Close()
	ends := make(chan error, 3)
	signals := Catch()
	defer signals.Release()
	if own.In != nil {
		stop, err := a.typeIn(own.In, ends)
		if err != nil {
			return err
		}
		defer stop()
	}
	go func() { ends <- a.show(own.Out) }()
	for {
		select {
		case err := <-ends:
			return err
		case s := <-signals.queue:
			number, _ := s.(syscall.Signal)
			switch {
			case number == unix.SIGHUP:
				return ErrHangup
			case a.Forward == nil:
				return ErrDetached
			}
			a.Forward(number)
		}
	}
}

// show prints what the payload writes.
func (a *Attachment) show(to io.Writer) error {
	b := make([]byte, order.AttachChunk+1)
	for {
		n, err := a.conn.Read(b)
		if n == 0 || err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, net.ErrClosed) {
				err = nil
			}
			return err
		}
		if b[0] != order.AttachData {
			continue
		}
		if _, err := to.Write(b[1:n]); err != nil {
			return err
		}
	}
}

// typeIn sends what the operator types, and the size of the terminal.
func (a *Attachment) typeIn(in *os.File, ends chan<- error) (stop func(), err error) {
	stop = func() {}
	var keys []byte
	if a.Terminal && IsTerminal(in) {
		restore, err := raw(in)
		if err != nil {
			return nil, err
		}
		unfollow := a.followSize(in)
		stop = func() { unfollow(); restore() }
		keys = a.Keys
	}
	onTerminal := IsTerminal(in)
	go func() {
		err := a.carryKeys(in, keys)
		if errors.Is(err, unix.EIO) && onTerminal {
			err = ErrHangup
		}
		if errors.Is(err, ErrDetached) || errors.Is(err, ErrHangup) {
			ends <- err
		}
	}()
	return stop, nil
}

// carryKeys sends input on until the keys that let go.
func (a *Attachment) carryKeys(in io.Reader, keys []byte) error {
	d := detector{keys: keys}
	b := make([]byte, order.AttachChunk/2)
	for {
		n, err := in.Read(b)
		send, detached := d.feed(b[:n])
		for len(send) > 0 {
			part := send[:min(len(send), order.AttachChunk)]
			send = send[len(part):]
			if _, err := a.conn.Write(append([]byte{order.AttachData}, part...)); err != nil {
				return err
			}
		}
		if detached {
			return ErrDetached
		}
		if err != nil {
			return err
		}
	}
}

func (a *Attachment) followSize(from *os.File) (stop func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	tell := func() {
		columns, rows := Size(from)
		b := binary.LittleEndian.AppendUint16([]byte{order.AttachSize}, uint16(rows))
		_, _ = a.conn.Write(binary.LittleEndian.AppendUint16(b, uint16(columns)))
	}
	tell()
	go func() {
		for range changed {
			tell()
		}
	}()
	return func() { signal.Stop(changed); close(changed) }
}

// detector finds keys that were typed one after the other, across reads. What
// looked like their beginning is passed on as soon as it is none.
type detector struct {
	keys []byte
	seen int
}

func (d *detector) feed(b []byte) (send []byte, detached bool) {
	if len(d.keys) == 0 {
		return b, false
	}
	text := append(bytes.Clone(d.keys[:d.seen]), b...)
	if before, _, found := bytes.Cut(text, d.keys); found {
		return before, true
	}
	for d.seen = min(len(text), len(d.keys)-1); d.seen > 0 && !bytes.HasSuffix(text, d.keys[:d.seen]); {
		d.seen--
	}
	return text[:len(text)-d.seen], false
}

// DetachKeys reads docker's form: "ctrl-p,ctrl-q", "ctrl-a,d"; "" is none.
func DetachKeys(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	var keys []byte
	for word := range strings.SplitSeq(text, ",") {
		control, ok := strings.CutPrefix(strings.ToLower(word), "ctrl-")
		switch {
		case ok && len(control) == 1 && (control[0] >= 'a' && control[0] <= 'z' || strings.Contains(`@[\]^_`, control)):
			keys = append(keys, strings.ToUpper(control)[0]&0x1f)
		case !ok && len(word) == 1 && word[0] > ' ' && word[0] < 0x7f:
			keys = append(keys, word[0])
		default:
			return nil, fmt.Errorf("%q is no key; write ctrl-LETTER or a character, with commas between them", word)
		}
	}
	return keys, nil
}
