// SPDX-License-Identifier: Apache-2.0

package order

// AttachSocket is the relay's socket in the unit's directory below /run, for
// those who join a payload's streams. Each message is one packet, its first byte
// says what it is.
const AttachSocket = "attach"

// Messages of AttachSocket.
const (
	AttachTerminal = 't' // to who has come: the payload has a terminal; comes first
	AttachPipe     = 'p' // or it has none
	AttachRefused  = 'x' // or there are too many already
	AttachData     = 'd' // both ways: output, or input
	AttachSize     = 'w' // to the relay: rows and columns, 16 bits each, little endian
)

// AttachChunk bounds the data of one message, in bytes.
const AttachChunk = 16 << 10
