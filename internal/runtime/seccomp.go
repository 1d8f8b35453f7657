// SPDX-License-Identifier: Apache-2.0

package runtime

func seccompEarly(l *Launch) bool { return l.filter != nil && !l.spec.Process.NoNewPrivileges }
func seccompLate(l *Launch) bool  { return l.filter != nil && l.spec.Process.NoNewPrivileges }

func loadSeccomp(c *compiler) {}
