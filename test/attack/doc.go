// SPDX-License-Identifier: Apache-2.0

// Package attack holds what payloads, images and callers do to get out, as tests
// of the built programs: unitc-runtime with the configurations that the planner
// makes, unitc with registries that lie, the relay with payloads that do. Each attack is made twice. Against what is shipped it must fail; with
// its protection left away (package protection, or a laxer configuration) it must
// succeed, so that it is known to bite. docs/SECURITY-MODEL.md lists them.
package attack
