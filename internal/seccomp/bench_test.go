// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// BenchmarkCompile measures what a start pays: unitc's default profile, and
// Docker's for its three architectures and for the native one alone.
func BenchmarkCompile(b *testing.B) {
	docker := dockerProfile(b, nil)
	native := *docker
	native.Architectures = nil
	for _, c := range []struct {
		name string
		spec *specs.LinuxSeccomp
	}{
		{"default", Default(Options{Arch: Native})},
		{"default-compat32", Default(Options{Arch: Native, Compat32: true})},
		{"docker", docker},
		{"docker-native", &native},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var program *Program
			for b.Loop() {
				var err error
				if program, err = Compile(c.spec, Native); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(program.Filter)), "instructions")
		})
	}
}

// BenchmarkCompileAnew measures the default profile without its program in the binary.
func BenchmarkCompileAnew(b *testing.B) {
	b.ReportAllocs()
	spec := Default(Options{Arch: Native, Bounding: defaultBounding})
	for b.Loop() {
		if _, err := compile(spec, Native); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDefault measures the making of the profile before it is compiled.
func BenchmarkDefault(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Default(Options{Arch: Native, Bounding: []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"}})
	}
}
