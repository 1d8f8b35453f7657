// SPDX-License-Identifier: Apache-2.0

package envfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
)

func show(vars []definition.Env) string {
	var b strings.Builder
	for _, v := range vars {
		b.WriteString(v.Name)
		if v.Value != nil {
			b.WriteString("=" + *v.Value)
		}
		b.WriteString("|")
	}
	return b.String()
}

func TestParse(t *testing.T) {
	lookup := func(name string) (string, bool) { return "host-" + name, name == "HOST" }
	for _, c := range []struct {
		in   string
		raw  bool
		want string
	}{
		{"", false, ""},
		{"A=b\n", false, "A=b|"},
		{"\ufeffA=b\r\nB=c\r\n", false, "A=b|B=c|"},
		{"# comment\n\n  \n A = b \nexport C=d\nexport\tD=e\nexported=f", false, "A=b|C=d|D=e|exported=f|"},
		{"A=b # c\nB=b#c\nC=#c d # e\nE=\"\" # c\nF=a\t#b", false, "A=b|B=b#c|C=#c d|E=|F=a\t#b|"},
		{"A='b # $C' # c\nB=\"x\\n\\t\\\"y\\\" \\$C \\\\\"\n", false, "A=b # $C|B=x\n\t\"y\" $C \\|"},
		{"A=\"one\ntwo\"\nB=c\nC='x\r\ny'\n", false, "A=one\ntwo|B=c|C=x\r\ny|"},
		{"A=1\nB=${A}2\nC=\"$B-${D:-d}\"\nE=$HOST\nA=3\n", false, "A=3|B=12|C=12-d|E=host-HOST|"},
		{"A: b\nB:c\nC=a:b\n", false, "A=b|B=c|C=a:b|"},
		{"A\nB=\n", false, "A|B=|"},
		{"A='b' # $C\nB= \"x\"\n", true, "A='b' # $C|B= \"x\"|"},
		{"A.b-c=d", false, "A.b-c=d|"},
		{"A=$$x", false, "A=$x|"},
		{"A=$2y$10$$b. c$\nB=\"^x$ \\$2\"\n", false, "A=$2y$10$b. c$|B=^x$ $2|"},
		{`A='it\'s \n \\'`, false, `A=it's \n \\|`},
	} {
		vars, problems := Parse(File{Path: "x.env", Data: []byte(c.in), Raw: c.raw, Lookup: lookup})
		if got := show(vars); got != c.want || len(problems) > 0 {
			t.Errorf("Parse(%q) = %q, %v; want %q", c.in, got, problems, c.want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"A=b\n=c\n", "x.env:2:1: error: a line without a variable's name; write NAME=value, and a value of several lines in quotes\n"},
		{"A=b\nA B=c\n", "x.env:2:1: error: ' ' cannot stand in a variable's name; write NAME=value, and a value of several lines in quotes\n"},
		{"A='one\ntwo'\nB=\"open\nC=d\n", "x.env:3:1: error: a quote \" that is never closed; close the quote\n"},
		{"A='b'c\n", "x.env:1:1: error: something stands behind the closing quote; put the whole value in quotes\n"},
		{"A=b\nB=pa${\n", "x.env:2:1: error: a ${ without a variable's name; write ${NAME}, or $$ for a dollar sign, or put the value in single quotes\n"},
		{"A=1\nB=p@ss$word\n", "x.env:2:1: warning: the variable word is not set and gives an empty string; write $$ for a dollar sign, or put the value in single quotes\n"},
		{strings.Repeat("A=$x\n", 2*maxFaults) + "B='\n", strings.Join(unsetLines(maxFaults), "") + "x.env:41:1: error: a quote ' that is never closed; close the quote\n"},
		{"A=\nB= # c\n", "x.env:2:1: warning: what looks like a comment is the value of B, as with Compose; put the comment on a line of its own, or the value in quotes\n"},
		{"A=${B:?gone}\n", "x.env:1:1: error: the variable B is not set: gone; set B, or put the value in single quotes\n"},
		{"A=\xff\n", "x.env:1:1: error: the bytes are not valid UTF-8; save it as UTF-8 text\n"},
		{"A=\x00\n", "x.env:1:1: error: a NUL byte stands in the file; save it as text\n"},
		{"A=" + strings.Repeat("x", maxValue+1), "x.env:1:1: error: the value of A has 131073 bytes, 131072 are allowed; shorten it\n"},
	} {
		_, problems := Parse(File{Path: "x.env", Data: []byte(c.in)})
		if got := problems.String(); got != c.want {
			t.Errorf("Parse(%.40q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// What is wrong is told to the journal: of what may be a secret nothing stands in it.
func TestFaultsKeepSecrets(t *testing.T) {
	for _, in := range []string{
		"KEY=-----BEGIN PRIVATE KEY-----\nMIIsword+fish/AAAA==\n-----END PRIVATE KEY-----\n",
		"KEY='-----BEGIN'MIIswordfish\n",
		"PASSWORD=\"sword\"swordfish\"\n",
		"sword fish=x\n",
		"pass swordfish\n",
		"A='swordfish\n",
		"A=swordfish${\n",
		"A=${\nB=swordfish\n",
	} {
		for _, raw := range []bool{false, true} {
			_, problems := Parse(File{Path: "x.env", Data: []byte(in), Raw: raw})
			if text := problems.String(); strings.Contains(text, "sword") || strings.Contains(text, "MII") || strings.Contains(text, "fish") || !raw && text == "" {
				t.Errorf("Parse(%q, raw %v) tells %q", in, raw, text)
			}
		}
	}
}

func unsetLines(count int) (lines []string) {
	for i := range count {
		lines = append(lines, fmt.Sprintf("x.env:%d:1: warning: the variable x is not set and gives an empty string; write $$ for a dollar sign, or put the value in single quotes\n", i+1))
	}
	return lines
}

func TestCommentAsValue(t *testing.T) {
	if vars, _ := Parse(File{Data: []byte("A= # c\n")}); show(vars) != "A=# c|" {
		t.Errorf("the value is %q", show(vars))
	}
}

// FuzzParse: no panic, no hang, and what is read can be an environment.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"A=b", "A='b\nc'", "A=\"$B\\\"\"\n", "A=$A$A\nA=$A$A\n", "export A: b # c"} {
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, raw bool) {
		vars, problems := Parse(File{Path: "x.env", Data: []byte(s), Raw: raw})
		seen := map[string]bool{}
		for _, v := range vars {
			if v.Name == "" || seen[v.Name] || strings.ContainsAny(v.Name, "=\x00\n") || v.Value != nil && (strings.IndexByte(*v.Value, 0) >= 0 || len(*v.Value) > maxValue) {
				t.Errorf("%q is no variable", v.Name)
			}
			seen[v.Name] = true
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > strings.Count(s, "\n")+1 || p.What == "" {
				t.Errorf("a problem without a place: %v", p)
			}
		}
	})
}
