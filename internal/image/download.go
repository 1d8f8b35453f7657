// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

// errSource is the base of the error when the bytes do not come.
var errSource = errors.New("fetching the blob")

// download reads a blob: first what is kept of it, then the rest from the
// source, which it keeps. A broken connection is resumed where it broke.
type download struct {
	ctx  context.Context
	a    *assembler
	job  *layerJob
	file *os.File

	kept   int64 // bytes in the file when we began
	offset int64 // bytes given to the reader
	body   io.ReadCloser
	tries  int
	last   time.Time // of the last EventBytes
}

// resume looks at what is kept. More than the whole cannot be right.
func (d *download) resume() error {
	st, err := d.file.Stat()
	if err != nil {
		return err
	}
	d.kept = st.Size()
	if d.kept > d.job.desc.Size {
		d.kept = 0
		return d.file.Truncate(0)
	}
	return nil
}

func (d *download) close() {
	if d.body != nil {
		d.body.Close()
		d.body = nil
	}
}

// Read gives the next bytes.
func (d *download) Read(p []byte) (int, error) {
	if err := d.ctx.Err(); err != nil {
		return 0, context.Cause(d.ctx)
	}
	if d.offset < d.kept {
		n, err := d.file.ReadAt(p[:min(int64(len(p)), d.kept-d.offset)], d.offset)
		d.offset += int64(n)
		if n > 0 || err == nil {
			return n, nil
		}
		return 0, fmt.Errorf("reading the kept part of a download: %w", err)
	}
	for {
		n, err := d.fetch(p)
		if err == nil || errors.Is(err, io.EOF) {
			return n, err
		}
		d.close()
		if err := d.again(err); err != nil {
			return 0, err
		}
	}
}

// fetch reads from the source and keeps what came.
func (d *download) fetch(p []byte) (int, error) {
	size := d.job.desc.Size
	if d.body == nil {
		if d.offset == size {
			return 0, io.EOF
		}
		body, err := d.a.source.open(d.ctx, d.job.desc, d.offset)
		if err != nil {
			return 0, err
		}
		d.body = body
	}
	n, err := d.body.Read(p)
	if int64(n) > size-d.offset {
		return 0, fmt.Errorf("%w: more than the %d bytes that the manifest says", ErrRefused, size)
	}
	if n > 0 {
		if _, err := d.file.WriteAt(p[:n], d.offset); err != nil {
			return 0, fmt.Errorf("%w: keeping %d bytes: %w", errLocal, n, err)
		}
		d.offset += int64(n)
		d.tries = 0
		d.progress()
		return n, nil
	}
	if errors.Is(err, io.EOF) && d.offset < size {
		return 0, fmt.Errorf("%w after %d of %d bytes", io.ErrUnexpectedEOF, d.offset, size)
	}
	return 0, err
}

// errLocal marks what another try would not change.
var errLocal = errors.New("writing to the store")

func (d *download) progress() {
	if now := time.Now(); now.Sub(d.last) >= bytesEvery {
		d.last = now
		d.a.event(d.job, EventBytes, d.offset)
	}
}

// again waits before another try, or says that there is none.
func (d *download) again(err error) error {
	if errors.Is(err, ErrRefused) || errors.Is(err, errLocal) {
		return err
	}
	if d.ctx.Err() != nil {
		return context.Cause(d.ctx)
	}
	d.tries++
	if !retryable(err) || d.tries >= maxTries {
		// Only the text: a wrapped io.EOF would look like the end of the layer
		// to every reader above.
		return fmt.Errorf("%w: %v", errSource, err)
	}
	d.a.report.send(Event{Kind: EventRetry, Digest: d.job.desc.Digest, Current: d.offset, Total: d.job.desc.Size, Text: err.Error()})
	return pause(d.ctx, d.tries, err)
}

// maxTries without a byte of progress; the pauses between them sum up to about
// a quarter of a minute.
const maxTries = 6

// firstPause doubles with each try; tests shorten it.
var firstPause = 500 * time.Millisecond

// retryAfter is an error that says when to come back.
type retryAfter interface{ retryAfter() time.Duration }

// pause waits, with jitter, so that a fleet that lost its registry does not
// come back as one.
func pause(ctx context.Context, try int, err error) error {
	wait := firstPause << (try - 1)
	wait += rand.N(wait/2 + 1)
	var ra retryAfter
	if errors.As(err, &ra) {
		wait = max(wait, min(ra.retryAfter(), time.Minute))
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retry runs f until it succeeds, fails for good, or has failed too often.
func retry(ctx context.Context, r *reporter, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || !retryable(err) || try >= maxTries || ctx.Err() != nil {
			return err
		}
		r.send(Event{Kind: EventRetry, Text: err.Error()})
		if err := pause(ctx, try, err); err != nil {
			return err
		}
	}
}
