// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"testing"
)

// TestSyntax: broken YAML names the line that is wrong and what to do there.
func TestSyntax(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"tab", "rootfs: host\n\tcommand: x\n", "2:1: error: a tab stands in the indentation; use spaces"},
		{"tab below a key", "systemd:\n\tslice: x\n", "2:1: error: a tab stands in the indentation; use spaces"},
		{"two colons", "rootfs: host\ncommand: a: b\n", "2:1: error: a second `: ` stands in this value, or the line is indented wrongly; put the value in quotes, or align the line with its neighbours"},
		{"indented key", "rootfs: host\n  command: x\n", "2:3: error: a second `: ` stands in this value, or the line is indented wrongly; put the value in quotes, or align the line with its neighbours"},
		{"no-break space", "rootfs:\u00a0host\ncommand: [/x]\n", "1:8: error: a no-break space stands where YAML has a space; write a space; text that is copied from a page has others"},
		{"dedented key", "systemd:\n    slice: x\n  cgroup: scope\nrootfs: host\n", "3:3: error: the line does not fit the indentation of the lines above; align it with its neighbours"},
		{"no colon", "rootfs: host\ncommand\nhostname: x\n", "2:1: error: a line without a colon, or a value that goes on at the wrong indentation; write `key: value`"},
		{"open double quote", "rootfs: host\ncommand: \"x\nhostname: y\n", "2:10: error: a quote that is opened here is never closed; close the quote"},
		{"open single quote", "rootfs: 'host\n", "1:9: error: a quote that is opened here is never closed; close the quote"},
		{"open bracket", "rootfs: host\ncommand: [a, b\nhostname: x\n", "2:1: error: a list in brackets that goes on without a comma; add the comma, or close the list with `]`"},
		{"open brace", "rootfs: host\nlabels: {a: b\nhostname: x\n", "2:1: error: a mapping in braces that goes on without a comma; add the comma, or close the mapping with `}`"},
		{"missing comma", "rootfs: host\nlabels: {a: b c: d}\n", "2:1: error: a mapping in braces that goes on without a comma; add the comma, or close the mapping with `}`"},
		{"at sign", "rootfs: host\nuser: @me\n", "2:1: error: a value can't begin with @; put it in quotes"},
		{"backtick", "rootfs: host\ncommand: `x`\n", "2:1: error: a value can't begin with `; put it in quotes"},
		{"percent", "rootfs: host\nhostname: %i\n", "2:1: error: a value can't begin with %; put it in quotes"},
		{"star", "rootfs: host\nvolumes:\n  - *.txt\n", "3:3: error: `*` or `&` begins an alias or anchor, and no name follows; put the value in quotes"},
		{"unknown anchor", "rootfs: host\nlabels: *common\n", "2:9: error: the anchor of *common is nowhere above; write &common where the value stands first"},
		{"escape", "rootfs: host\ncommand: \"a\\d\"\n", "2:1: error: an unknown escape sequence in a double-quoted string; write \\\\ for a backslash, or use single quotes"},
		{"list among keys", "rootfs: host\n- x\n", "2:1: error: the line does not fit the indentation of the lines above; align it with its neighbours"},
		{"key among items", "volumes:\n  - /a:/b\n  command: x\nrootfs: host\n", "3:3: error: a line between list items that is no item; begin it with `- `, or indent it as part of the item above"},
		{"list behind its key", "rootfs: host\ncommand: - x\n", "2:1: error: a list item where none can stand; begin the list on the line after its key"},
		{"control character", "rootfs: host\ncommand: a\x01b\n", "2:1: error: a control character stands in the file; write it as an escape in double quotes"},
		{"second document", "rootfs: host\n---\nrootfs: host\n", "2:1: error: a second YAML document begins here; keep one document in a file"},
		{"document behind dots", "rootfs: host\n...\nrootfs: host\n", "3:1: error: the file goes on after its end; align the line with the file's first key"},
		{"empty", "", "error: the file holds no definition; write at least `rootfs:` or `image:`"},
		{"comments only", "# x\n\n", "error: the file holds no definition; write at least `rootfs:` or `image:`"},
		{"null", "~\n", "error: the file holds no definition; write at least `rootfs:` or `image:`"},
		{"list", "- a\n- b\n", "1:1: error: the file is not a mapping; write lines of the form `key: value`"},
		{"text", "hello\n", "1:1: error: the file is not a mapping; write lines of the form `key: value`"},
		{"NUL", "rootfs: host\ncommand: \x00\n", "2:10: error: a NUL byte stands in the file; save the file as UTF-8 text"},
		{"NUL escape", "rootfs: host\ncommand: \"a\\0\"\n", "2:10: error: a NUL character stands in a string; remove the \\0"},
		{"Latin 1", "rootfs: host\ncommand: \"\xfc\"\n", "2:11: error: the bytes are not valid UTF-8; save the file as UTF-8 text"},
		{"duplicate", "rootfs: host\ncommand: a\ncommand: b\n", "3:1: error: the key \"command\" stands twice: first at line 2; keep one of the two"},
		{"key that is a list", "rootfs: host\n? [a]\n: b\n", "2:3: error: a key that is no string; write a plain word before the colon"},
		{"merge of a string", "rootfs: host\n<<: x\n", "2:5: error: a merge key takes mappings only; write `<<: *anchor` or `<<: [*one, *two]`"},
		{"unknown tag", "rootfs: !include x\n", "1:9: error: the tag !include is unknown; remove it; Compose has !reset and !override"},
		{"anchor in itself", "rootfs: host\nlabels: &a {b: *a}\n", "2:16: error: the alias *a stands inside its own anchor; remove the alias"},
		{"far down", strings.Repeat("# line\n", 500) + "rootfs: host\n" + strings.Repeat("# line\n", 500) + "  command: x\n" + strings.Repeat("# line\n", 500), "1002:3: error: the line does not fit the indentation of the lines above"},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := parse(parseText("web", c.text)).Problems.String()
			if want := "web.yaml:" + c.want; !strings.Contains(problems, want) && !strings.Contains(problems, "web.yaml: "+c.want) {
				t.Errorf("no %s in\n%s", want, problems)
			}
		})
	}
}

// TestEncodings: what editors on other systems write is read all the same.
func TestEncodings(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark": "\ufeffrootfs: host\ncommand: x\n",
		"CRLF":            "rootfs: host\r\ncommand: x\r\n",
		"no last newline": "rootfs: host\ncommand: x",
		"explicit start":  "---\nrootfs: host\ncommand: x\n...\n",
		"YAML directive":  "%YAML 1.1\n---\nrootfs: host\ncommand: x\n",
	} {
		if file := parse(parseText("web", text)); len(file.Problems) > 0 || len(file.Services[0].Command) != 1 || file.Services[0].Command[0] != "x" {
			t.Errorf("%s: command %q\n%s", name, file.Services[0].Command, file.Problems)
		}
	}
}
