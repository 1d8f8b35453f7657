// SPDX-License-Identifier: Apache-2.0

package units

import (
	"strings"
	"testing"
)

// The name of a project is its containers, and not its networks, which are units of
// the same file.
func TestMatch(t *testing.T) {
	generated := []Generated{}
	for _, name := range []string{"blog-db", "blog-web", "unitc-network@blog_back", "unitc-network@blog_default", "web", "worker@"} {
		source := "/etc/unitc/" + name + ".yaml"
		if strings.Contains(name, "blog") {
			source = "/etc/unitc/blog.yaml"
		}
		generated = append(generated, Generated{Name: name + ".service", Source: source})
	}
	for word, want := range map[string]string{
		"blog": "blog-db blog-web", "blog.target": "blog-db blog-web", "blog.yaml": "blog-db blog-web", "web.service": "web", "blog-db": "blog-db",
		"worker@": "worker@1 worker@b", "worker@9": "worker@9", "unitc-network@blog_back": "unitc-network@blog_back", "other": "",
	} {
		if got := strings.Join(Match(generated, []string{"web", "worker@1", "worker@b"}, word), " "); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
