// SPDX-License-Identifier: Apache-2.0

package compose

// Shapes that several keys share. Where Compose takes a number or a boolean it
// takes a string that holds one too; fits() knows that.
var (
	stringShape   = shape{kinds: text}
	hostPathShape = shape{kinds: text, format: &hostPathFormat}
	targetShape   = shape{kinds: text, format: &targetFormat}
	searchShape   = shape{kinds: text | list, merge: mergeAppend, format: &searchFormat, item: &shape{kinds: text, format: &searchFormat}}
	boolShape     = shape{kinds: boolean}
	intShape      = shape{kinds: integer, format: &format{name: "integer", pattern: integerPattern, bounds: &bounds{low: -1 << 53, high: 1 << 53, whole: true, cure: "write a whole number"}}}
	floatShape    = shape{kinds: number, format: &numberFormat}
	uniqueShape   = shape{kinds: list, item: &stringShape, unique: true}

	// commandShape: null takes the image's, [] clears it.
	commandShape = shape{kinds: null | text | list, format: &wordsFormat, item: &stringShape, merge: mergeReplace}

	valueShape = shape{kinds: scalar}
	// pairsShape is `KEY: value` or `- KEY=value`.
	pairsShape = shape{kinds: list | mapping, item: &shape{kinds: text, format: &pairFormat}, open: &valueShape, merge: mergePairs}

	bytesShape    = shape{kinds: number | text, format: &bytesFormat}
	memoryShape   = shape{kinds: number | text, format: &memoryFormat}
	durationShape = shape{kinds: integer | text, format: &durationFormat}
)
