// SPDX-License-Identifier: Apache-2.0

// Command quadlet converts Quadlet files that others wrote, those of one directory
// together, and says of each what is lost:
//
//	go run ./test/verdicts/quadlet COLLECTION=DIR… > test/verdicts/quadlet/verdicts.txt
//
// The files themselves are not kept here, only their names and the verdicts:
//
//	ok       nothing is lost, and nothing means something else
//	changed  something means something else, or has to be looked at
//	lost     something is lost
//	error    no definition is made of it
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/convert"
	"github.com/unitc/unitc/internal/diag"
)

func main() {
	verdicts := map[string]string{}
	for _, arg := range os.Args[1:] {
		collection, dir, ok := strings.Cut(arg, "=")
		if !ok {
			log.Fatal("usage: quadlet COLLECTION=DIR…")
		}
		if err := judge(verdicts, collection, dir); err != nil {
			log.Fatal(err)
		}
	}
	write(verdicts)
}

// judge converts each directory by itself.
func judge(verdicts map[string]string, collection, top string) error {
	return filepath.WalkDir(top, func(dir string, item fs.DirEntry, err error) error {
		if err != nil || !item.IsDir() {
			return err
		}
		set := convert.New(convert.Host{Home: "/root", Runtime: "/run", Name: "root", ID: "0", Group: "root", GID: "0",
			Getenv:   func(string) (string, bool) { return "", false },
			ReadFile: func(string) ([]byte, error) { return nil, errors.New("it is not looked at") }})
		items, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		below := strings.TrimPrefix(strings.TrimPrefix(dir, top), "/")
		for _, file := range items {
			if file.IsDir() || !convert.IsQuadlet(file.Name()) {
				continue
			}
			data, err := os.ReadFile(filepath.Join(dir, file.Name()))
			if err != nil {
				return err
			}
			name := filepath.Join(collection, below, file.Name())
			verdicts[name] = "ok"
			set.Add(convert.Source{Path: name, Dir: "/etc/containers/systemd", Data: data})
		}
		set.Quadlets()
		if err := repair(set); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		for _, p := range set.Problems() {
			take(verdicts, p)
		}
		return nil
	})
}

// repair has what is made checked until it has no faults.
func repair(set *convert.Set) error {
	for range 1000 {
		dir, err := os.MkdirTemp("", "verdicts-")
		if err != nil {
			return err
		}
		for _, f := range set.Files() {
			if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
				return err
			}
		}
		out, err := catalog.DryRun{Dirs: []string{dir}}.Run()
		os.RemoveAll(dir)
		if err != nil {
			return err
		}
		for i := range out.Problems {
			out.Problems[i].File = strings.TrimPrefix(out.Problems[i].File, dir+"/")
		}
		if !set.Repair(out.Problems) {
			if out.Problems.HasErrors() {
				return fmt.Errorf("what was made has faults: %s", out.Problems)
			}
			return nil
		}
	}
	return errors.New("it is repaired without an end")
}

var ranks = []string{"ok", "changed", "lost", "error"}

// take keeps the worst, with the first reason for it.
func take(verdicts map[string]string, p diag.Problem) {
	word := "changed"
	switch {
	case p.Severity == diag.Error:
		word = "error"
	case p.Severity == diag.Note:
		return
	case p.Rule == diag.RuleLoss:
		word = "lost"
	}
	have, _, _ := strings.Cut(verdicts[p.File], "\t")
	if slices.Index(ranks, word) > slices.Index(ranks, have) {
		verdicts[p.File] = word + "\t" + strings.TrimPrefix(p.Path+": "+p.What, ": ")
	}
}

func write(verdicts map[string]string) {
	count := map[string]int{}
	var names []string
	for name, verdict := range verdicts {
		word, _, _ := strings.Cut(verdict, "\t")
		count[word]++
		names = append(names, name)
	}
	slices.Sort(names)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintf(out, "# %d files: %d ok, %d changed, %d lost, %d error\n", len(names), count["ok"], count["changed"], count["lost"], count["error"])
	for _, name := range names {
		word, reason, _ := strings.Cut(verdicts[name], "\t")
		fmt.Fprintln(out, strings.TrimRight(word+"\t"+name+"\t"+reason, "\t"))
	}
}
