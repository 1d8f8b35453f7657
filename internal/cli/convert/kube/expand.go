// SPDX-License-Identifier: Apache-2.0

package kube

import "strings"

// Expand puts values in the place of $(NAME). $$ is a dollar sign that begins nothing, and
// a name that nobody knows stays as it is.
func Expand(text string, value func(name string) (string, bool)) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		switch text[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(text[i:], ')')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			if known, ok := value(text[i+2 : i+end]); ok {
				b.WriteString(known)
			} else {
				b.WriteString(text[i : i+end+1])
			}
			i += end
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}
