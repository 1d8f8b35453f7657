// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strings"

	"github.com/unitc/unitc/internal/compose"
)

// Manual is the KEYS section of unitc.yaml(5) in Markdown, without its heading.
func Manual() string {
	var b strings.Builder
	b.WriteString("An example stands behind each key. Keys marked *later* are checked, and a start is refused until this\nprogram has what they need.\n\n")
	writeKeys(&b, compose.ServiceKeys())
	b.WriteString("## Keys of the systemd block\n\n")
	for _, k := range compose.ServiceKeys() {
		if k.Name == "systemd" {
			writeKeys(&b, k.Shape.Keys)
		}
	}
	b.WriteString("Directives are checked against the manual pages of systemd 262 and passed on as they are written; one\nthat would break the launch, or would not reach the container, is refused with the key that does the\njob.\n\n")
	b.WriteString("## Keys of a whole compose file\n\n")
	writeKeys(&b, compose.ProjectKeys())
	b.WriteString("## Keys of Compose that are refused\n\n")
	for _, keys := range [][]compose.Key{compose.ServiceKeys(), compose.ProjectKeys()} {
		for _, k := range keys {
			if k.Status == compose.Refused {
				b.WriteString("**" + k.Name + "**\n: " + k.Note + ".\n\n")
			}
		}
	}
	return b.String()
}

func writeKeys(b *strings.Builder, keys []compose.Key) {
	for _, k := range keys {
		if k.Status == compose.Refused {
			continue
		}
		b.WriteString("**" + k.Name + "**\n: " + k.Doc)
		if k.Status == compose.Ignored {
			b.WriteString(" Changes nothing: " + k.Note + ".")
		}
		b.WriteString(" `" + k.Example + "`\n\n")
	}
}
