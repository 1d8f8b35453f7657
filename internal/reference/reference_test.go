// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"errors"
	"path"
	"strings"
	"testing"
)

const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParse(t *testing.T) {
	for _, tc := range []struct{ in, want, file, short string }{
		{"nginx", "docker.io/library/nginx:latest", "docker.io/library/nginx:latest", "@short/nginx:latest"},
		{"nginx:1.27", "docker.io/library/nginx:1.27", "docker.io/library/nginx:1.27", "@short/nginx:1.27"},
		{"grafana/grafana", "docker.io/grafana/grafana:latest", "docker.io/grafana/grafana:latest", "@short/grafana/grafana:latest"},
		{"docker.io/nginx", "docker.io/library/nginx:latest", "docker.io/library/nginx:latest", ""},
		{"index.docker.io/library/nginx", "docker.io/library/nginx:latest", "docker.io/library/nginx:latest", ""},
		{"localhost/a", "localhost/a:latest", "localhost/a:latest", ""},
		{"localhost:5000/a/b:x", "localhost:5000/a/b:x", "localhost:5000/a/b:x", ""},
		{"[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest", ""},
		{"quay.io/a__b/c-d.e:V1_2", "quay.io/a__b/c-d.e:V1_2", "quay.io/a__b/c-d.e:V1_2", ""},
		{"nginx@sha256:" + hex64, "docker.io/library/nginx@sha256:" + hex64, "docker.io/library/nginx@sha256:" + hex64, "@short/nginx@sha256:" + hex64},
		{"q.io/n:1@sha256:" + hex64, "q.io/n:1@sha256:" + hex64, "q.io/n@sha256:" + hex64, ""},
	} {
		r, err := Parse(tc.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", tc.in, err)
			continue
		}
		if r.String() != tc.want || r.File() != tc.file || r.ShortFile() != tc.short {
			t.Errorf("Parse(%q) = %q, %q, %q; want %q, %q, %q", tc.in, r, r.File(), r.ShortFile(), tc.want, tc.file, tc.short)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", ":", "@", "nginx:", "nginx@", "nginx:-x", "nginx:.x", "nginx:" + strings.Repeat("a", 129), "NGINX", "a//b", "/a", "a/",
		"../a", "a/../b", "a/./b", "./a", "..", "a..b", "a___b", "-a", "a-", "a b", "a\nb", "a\x00b", "q.io/" + strings.Repeat("a", 256),
		"..../a", "-x.io/a", "x.io:/a", "x.io:port/a", "[]/a", "[::1/a", "[::1]x/a", "a@sha256:../../x", "a@sha256:" + hex64[1:], "a@md5:" + hex64,
		"a@sha256:" + strings.ToUpper(hex64), "a@sha256:" + hex64 + "@sha256:" + hex64, "q.io/" + strings.Repeat("a", 200) + ":" + strings.Repeat("b", 100),
	} {
		if r, err := Parse(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("Parse(%q) = %+v, %v; want ErrInvalid", in, r, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"nginx", "localhost:5000/a:b", "a@sha256:" + hex64, "[::1]:1/a", "../x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(r.String())
		if err != nil || again.File() != r.File() {
			t.Fatalf("Parse(%q) = %q, which parses to %q, %v", s, r, again, err)
		}
		for _, file := range []string{r.File(), r.ShortFile()} {
			if file != "" && (path.Clean("/"+file) != "/"+file || strings.ContainsAny(file, "\x00\n")) {
				t.Fatalf("Parse(%q) gives the file %q", s, file)
			}
		}
	})
}
