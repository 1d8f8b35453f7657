// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"errors"
	"io"
)

// Copy packs and unpacks at once.
func Copy(ctx context.Context, src *Source, d *Destination, o Options) error {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := Pack(ctx, w, src, d.name, o)
		w.CloseWithError(err)
		packed <- err
	}()
	// What fails on one side ends the other.
	err := Unpack(ctx, r, d, o)
	r.CloseWithError(err)
	if packErr := <-packed; packErr != nil && (err == nil || errors.Is(err, packErr)) {
		return packErr
	}
	return err
}

// Name is what the source is called in a tar.
func (s *Source) Name() string {
	if s.contents {
		return "."
	}
	return s.name
}
