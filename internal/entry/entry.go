// SPDX-License-Identifier: Apache-2.0

// Package entry is where unitc-generator and unitc-exec begin: before Go's runtime
// it adds GOMAXPROCS=1 to the environment, which Go reads before any code of the
// program's own, and has nothing sampled for a memory profile that nobody reads,
// which Go heeds only after its first allocations. All is one thread's work there,
// and what Go prepares for others is a tenth of the time with few definitions
// (docs/PERFORMANCE.md). Go's monitor wakes less often (internal/slack). For the generator it also has Go open no files before the
// program's own packages begin.
//
// Nothing rests on it: on other processors, and in builds whose linker was not
// told to begin here (`-E`, see Makefile), it only takes longer.
package entry
