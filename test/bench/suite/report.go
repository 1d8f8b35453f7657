// SPDX-License-Identifier: Apache-2.0

package main

func report(from, out string) error      { return nil }
func compareFiles(old, new string) error { return nil }
