// SPDX-License-Identifier: Apache-2.0

package compose

// Shapes that several keys share. Where Compose takes a number or a boolean it
// takes a string that holds one too; fits() knows that.
var (
	stringShape = shape{kinds: text}
	nameShape   = shape{kinds: text | integer} // users, hosts: words that may look like numbers
	boolShape   = shape{kinds: boolean}
	intShape    = shape{kinds: integer}
	floatShape  = shape{kinds: number}
	uniqueShape = shape{kinds: list, item: &stringShape, unique: true}
	oneOrMany   = shape{kinds: text | list, item: &stringShape, merge: mergeAppend}

	// commandShape: null takes the image's, [] clears it.
	commandShape = shape{kinds: null | text | list, item: &stringShape, merge: mergeReplace}

	valueShape = shape{kinds: scalar}
	// pairsShape is `KEY: value` or `- KEY=value`.
	pairsShape = shape{kinds: list | mapping, item: &stringShape, open: &valueShape, merge: mergePairs}

	bytesShape    = shape{kinds: number | text, format: &bytesFormat}
	memoryShape   = shape{kinds: number | text, format: &memoryFormat}
	durationShape = shape{kinds: integer | text, format: &durationFormat}
)
