// SPDX-License-Identifier: Apache-2.0

package generator

// room is memory for what one definition gives. It is used again for the next,
// as pages that nobody has touched are what most of the memory would cost. The
// zero value has none: then all is made anew.
type room struct {
	used         []byte
	units        []unit
	translations []translation
	// cleansAll: nothing comes behind an end, so that each has clean-up.
	cleansAll bool
}

// roomSize is enough for all but large projects.
const roomSize = 64 << 10

// empty makes the whole room free: what was kept is overwritten.
func (r *room) empty() {
	if r.used == nil {
		r.used = make([]byte, 0, roomSize)
	}
	r.used, r.units, r.translations = r.used[:0], r.units[:0], r.translations[:0]
}

// translation is a new one.
func (r *room) translation(t translation) *translation {
	r.translations = append(r.translations, t)
	return &r.translations[len(r.translations)-1]
}

// free is what is left of it, to append to.
func (r *room) free() []byte {
	return r.used[len(r.used):]
}

// keep takes what was appended to free out of the room. Of what has grown beyond
// it nothing is the room's.
func (r *room) keep(b []byte) []byte {
	if len(b) <= cap(r.used)-len(r.used) {
		r.used = r.used[:len(r.used)+len(b)]
	}
	return b[:len(b):len(b)]
}
