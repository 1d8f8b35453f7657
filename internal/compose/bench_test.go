// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"os"
	"testing"

	"gopkg.in/yaml.v3"
)

// BenchmarkParse is one definition of each size, "hundred" one of a hundred
// lines, beside what the YAML library alone takes for it. The generator's budget
// for the whole way of a small one is about 80 µs.
func BenchmarkParse(b *testing.B) {
	for _, name := range []string{"minimal", "hundred", "blog"} {
		data, err := os.ReadFile("testdata/good/" + name + ".yaml")
		if err != nil {
			b.Fatal(err)
		}
		in := Input{Name: name, Dir: "/etc/unitc", Layers: []Layer{{name + ".yaml", data}}}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if file := parse(in); file.Problems.HasErrors() {
					b.Fatal(file.Problems)
				}
			}
		})
		b.Run(name+"/yaml", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := yaml.Unmarshal(data, new(yaml.Node)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
