// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/image/layer"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/store"
)

// errDamaged: what was read is not what the digest says. Where the bytes had
// been kept on this machine, they are thrown away and fetched again.
var errDamaged = errors.New("content does not fit its digest")

// make unpacks one layer under the lock of its key, unless another process has
// done it meanwhile.
func (a *assembler) make(ctx context.Context, j *layerJob, key string, lowers []*os.File) error {
	lock, err := a.store.Acquire(ctx, key, func() { a.event(j, EventWait, 0) })
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if a.usable(j, key) {
		return a.have(j, key)
	}
	if a.store.HasLayer(key) && lowers == nil {
		return layer.ErrNeedsLower // it is here, but only fits another place
	}
	staged, err := a.store.StageLayer(lock)
	if err != nil {
		return err
	}
	if err := a.fill(ctx, j, staged, lowers); err != nil {
		return errors.Join(err, staged.Discard())
	}
	j.key = key
	a.event(j, EventDone, j.desc.Size)
	return nil
}

// fill gets the blob, unpacks it while it arrives, and commits both.
func (a *assembler) fill(ctx context.Context, j *layerJob, staged *store.StagedLayer, lowers []*os.File) error {
	if f, err := a.store.OpenBlob(j.desc.hex()); err == nil {
		defer f.Close()
		a.event(j, EventStart, 0)
		err := a.unpack(ctx, j, f, staged, lowers)
		if err == nil {
			j.yield()
			return a.store.Commit(staged)
		}
		if !errors.Is(err, errDamaged) {
			return err
		}
		a.report.send(Event{Kind: EventWarning, Digest: j.desc.Digest, Text: "the stored blob is damaged; fetching it again"})
	}
	lock, err := a.store.Acquire(ctx, "blob-"+j.desc.hex(), func() { a.event(j, EventWait, 0) })
	if err != nil {
		return err
	}
	defer lock.Unlock()
	for {
		err, again := a.download(ctx, j, staged, lowers)
		if !again {
			return err
		}
		a.report.send(Event{Kind: EventRetry, Digest: j.desc.Digest, Text: "the kept part of the download is damaged; beginning again"})
	}
}

// download unpacks the blob from the kept part of an earlier download and the
// rest from the source. again: the kept part was wrong and is gone.
func (a *assembler) download(ctx context.Context, j *layerJob, staged *store.StagedLayer, lowers []*os.File) (err error, again bool) {
	blob, err := a.store.StageBlob(j.desc.hex())
	if err != nil {
		return err, false
	}
	defer blob.Close()
	d := &download{ctx: ctx, a: a, job: j, file: blob.File}
	defer d.close()
	if err := d.resume(); err != nil {
		return err, false
	}
	kept := d.kept
	a.event(j, EventStart, kept)
	err = a.unpack(ctx, j, d, staged, lowers)
	switch {
	case err == nil:
		d.close()
		j.yield()
		return a.store.Commit(blob, staged), false
	case errors.Is(err, layer.ErrNeedsLower):
		return err, false // the part serves the second attempt
	case errors.Is(err, errDamaged), errors.Is(err, ErrRefused), errors.Is(err, layer.ErrRefused):
		if derr := blob.Discard(); derr != nil {
			return errors.Join(err, derr), false
		}
		// What was kept may be the culprit: a power cut leaves zeros in it.
		return err, kept > 0 && ctx.Err() == nil
	case isFull(err):
		return errors.Join(err, blob.Discard()), false // others need the room, too
	}
	return err, false // broken off: the next pull goes on from here
}

// unpack reads a compressed layer once: hash of the blob, decompression, hash
// of the tar, files. Both digests are compared at the end; until the commit
// nothing of it can be seen.
func (a *assembler) unpack(ctx context.Context, j *layerJob, r io.Reader, staged *store.StagedLayer, lowers []*os.File) error {
	if err := staged.Clear(); err != nil {
		return err
	}
	root, err := os.Open(staged.FS())
	if err != nil {
		return err
	}
	defer root.Close()
	blob := newHashReader(r)
	res, diffID, err := a.apply(ctx, j, blob, root, lowers)
	if err != nil {
		return a.blame(err, blob, j)
	}
	if _, err := io.Copy(io.Discard, blob); err != nil {
		return err
	}
	if (blob.digest() != j.desc.Digest || blob.n != j.desc.Size) && !protection.Off("verify-digest") {
		return fmt.Errorf("%w: %d bytes of digest %s, expected %d bytes of %s", errDamaged, blob.n, blob.digest(), j.desc.Size, j.desc.Digest)
	}
	if diffID != j.diffID && !protection.Off("verify-digest") {
		return fmt.Errorf("%w: the tar of the layer has the digest %s, the image's configuration says %s", ErrRefused, diffID, j.diffID)
	}
	staged.Info = layerInfo(j, res)
	for _, what := range res.LeftOut {
		a.report.send(Event{Kind: EventWarning, Digest: j.desc.Digest, Text: "left out: " + what})
	}
	return nil
}

// blame tells a damaged blob from a hostile one: damage breaks the decoding,
// and only the digest of the whole shows that it was damage.
func (a *assembler) blame(err error, blob *hashReader, j *layerJob) error {
	switch {
	case isFull(err):
		return fmt.Errorf("%w in %s: %w", ErrSpace, a.store.Dir(), err)
	case errors.Is(err, layer.ErrRefused), errors.Is(err, layer.ErrNeedsLower), errors.Is(err, ErrSpace), errors.Is(err, errSource),
		errors.Is(err, errLocal), errors.Is(err, unix.EIO), errors.Is(err, unix.EROFS), errors.Is(err, ErrRefused),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	if _, rest := io.Copy(io.Discard, blob); rest != nil {
		return errors.Join(err, rest)
	}
	if blob.digest() != j.desc.Digest || blob.n != j.desc.Size {
		return fmt.Errorf("%w: %d bytes of digest %s, expected %d bytes of %s (%w)", errDamaged, blob.n, blob.digest(), j.desc.Size, j.desc.Digest, err)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (a *assembler) apply(ctx context.Context, j *layerJob, blob io.Reader, root *os.File, lowers []*os.File) (layer.Result, string, error) {
	plain, err := decompress(blob)
	if err != nil {
		return layer.Result{}, "", fmt.Errorf("decompressing: %w", err)
	}
	defer plain.Close()
	tar := newHashReader(plain)
	res, err := layer.Apply(ctx, root, bufferTar(tar), layer.Options{
		Limits: a.limits.layer(j.desc.Size),
		Below:  j.index > 0, Lowers: lowers,
		Space: func() error { return a.limits.space(a.store, 0) },
	})
	if err != nil {
		return res, "", err
	}
	// What follows the end of the archive is padding, and counts for the digest.
	n, err := io.Copy(io.Discard, io.LimitReader(tar, maxPadding+1))
	if err != nil {
		return res, "", err
	}
	if n > maxPadding && !protection.Off("layer-limits") {
		return res, "", fmt.Errorf("%w: more than %d bytes after the end of the tar", ErrRefused, maxPadding)
	}
	return res, tar.digest(), nil
}

// maxPadding is more than any blocking factor makes.
const maxPadding = 16 << 20

func layerInfo(j *layerJob, res layer.Result) store.LayerInfo {
	info := store.LayerInfo{
		DiffID: j.diffID, Entries: res.Entries, Bytes: res.Bytes,
		RootOpaque: res.RootOpaque, Dependent: res.Dependent, LeftOut: res.LeftOut,
	}
	if r := res.Root; r != nil {
		info.Root = &store.Attr{Mode: r.Mode, UID: uint32(r.UID), GID: uint32(r.GID), MTime: r.MTime.UTC()}
	}
	return info
}
