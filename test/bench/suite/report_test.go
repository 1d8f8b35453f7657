// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const rowsText = "start_ms\tplain\t20.000\t15.000\t30.000\t7\nstart_ms\tunitc\t25.000\t20.000\t40.000\t7\n" +
	"start_cpu_ms\tplain\t15.000\t14.000\t16.000\t7\nstart_cpu_ms\tunitc\t24.000\t23.000\t26.000\t7\n"

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bench.tsv")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReport(t *testing.T) {
	out := t.TempDir()
	if err := report(write(t, rowsText), out); err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(out + "/bench.md")
	if err != nil || !strings.Contains(string(md), "| unitc | 25.0 | 24.0 |") {
		t.Errorf("%v: %s", err, md)
	}
	plot, err := os.Open(out + "/bench.svg")
	if err != nil {
		t.Fatal(err)
	}
	defer plot.Close()
	for d := xml.NewDecoder(plot); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
	}
}

func TestCompareFindsRegressions(t *testing.T) {
	older := write(t, rowsText)
	if err := compareFiles(older, write(t, strings.Replace(rowsText, "23.000", "27.000", 1))); err != nil {
		t.Errorf("a sixth more: %v", err)
	}
	if err := compareFiles(older, write(t, strings.Replace(rowsText, "23.000", "29.000", 1))); err == nil {
		t.Error("a quarter more is no regression")
	}
	if err := compareFiles(older, write(t, "start_ms\tplain\n")); err == nil {
		t.Error("half a row is read")
	}
}
