// SPDX-License-Identifier: Apache-2.0

package image

// Step is one step of an image's making, with the layer it made, if any.
type Step struct {
	History
	Layer string `json:"layer,omitempty"` // digest of the blob
	Size  int64  `json:"size,omitempty"`  // its bytes
}

// History gives the steps, the last first. Layers that the image says nothing
// about are steps without words.
func (c *Client) History(name string) ([]Step, error) {
	img, err := c.Store.Resolve(name)
	if err != nil {
		return nil, err
	}
	raw, err := c.Store.ReadBlob(hexOf(img.ID), maxManifest)
	if err != nil {
		return nil, err
	}
	conf, err := parseConfig(raw, len(img.Layers))
	if err != nil {
		return nil, err
	}
	var steps []Step
	next := 0
	for _, h := range conf.History {
		step := Step{History: h}
		if !h.EmptyLayer && next < len(img.Layers) {
			step.Layer, step.Size = img.Layers[next].Blob, img.Layers[next].Size
			next++
		}
		steps = append([]Step{step}, steps...)
	}
	for ; next < len(img.Layers); next++ {
		steps = append([]Step{{Layer: img.Layers[next].Blob, Size: img.Layers[next].Size}}, steps...)
	}
	return steps, nil
}
