// SPDX-License-Identifier: Apache-2.0

// Command verdicts reads compose files that others wrote and says of each
// service whether unitc takes it, and why not:
//
//	go run ./test/verdicts COLLECTION=DIR[,COMMON]… > test/verdicts/verdicts.txt
//
// COMMON is a file of the collection that its users give to Compose besides
// each of the others.
//
// The files themselves are not kept here, only their names and the verdicts:
//
//	ok           no error
//	unsupported  errors, all of them for features named as unsupported
//	variables    the file demands variables that nobody set
//	error        anything else
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/syntax/library"
)

var composeName = regexp.MustCompile(`(?i)compose.*\.ya?ml$`)

// verdict is one service's, or a file's that has none.
type verdict struct {
	file, service, word, reason string
}

func main() {
	var all []verdict
	for _, arg := range os.Args[1:] {
		collection, dir, ok := strings.Cut(arg, "=")
		if !ok {
			log.Fatal("usage: verdicts COLLECTION=DIR…")
		}
		dir, common, _ := strings.Cut(dir, ",")
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != dir {
				return filepath.SkipDir // workflows and the like
			}
			if err != nil || entry.IsDir() || !composeName.MatchString(entry.Name()) {
				return err
			}
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			if name != common {
				all = append(all, judge(collection+"/"+name, path, filepath.Join(dir, common))...)
			}
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	slices.SortFunc(all, func(a, b verdict) int {
		return cmp.Or(strings.Compare(a.file, b.file), strings.Compare(a.service, b.service))
	})
	write(all)
}

// judge reads one file as if it were /etc/unitc/app.yaml, with the variables of
// the .env beside it.
func judge(name, path, common string) []verdict {
	data, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	in := compose.Input{Name: "app", Dir: "/etc/unitc", Layers: []compose.Layer{{Path: name, Data: data}}, Env: map[string]string{}, Library: library.Full}
	if shared, err := os.ReadFile(common); err == nil {
		in.Layers = append(in.Layers, compose.Layer{Path: "common", Data: shared})
	}
	in.Read = func(file string) ([]byte, error) {
		beside, err := filepath.Rel("/etc/unitc", file)
		if err != nil {
			return nil, err
		}
		return os.ReadFile(filepath.Join(filepath.Dir(path), beside))
	}
	if env, err := os.ReadFile(filepath.Join(filepath.Dir(path), ".env")); err == nil {
		in.Env, _ = compose.Variables([]compose.Layer{{Path: ".env", Data: env}})
	}
	return judgeFile(name, compose.Parse(in))
}

func judgeFile(name string, file definition.File) (all []verdict) {
	if len(file.Services) == 0 || !file.Project {
		return []verdict{judgeProblems(name, "-", file.Problems)}
	}
	var shared diag.List // problems of the file as a whole count for each service
	own := map[string]diag.List{}
	for _, p := range file.Problems {
		rest, ok := strings.CutPrefix(p.Path, "services")
		if !ok {
			shared = append(shared, p)
			continue
		}
		key := serviceOf(rest, file.Services)
		own[key] = append(own[key], p)
	}
	for i := range file.Services {
		s := &file.Services[i]
		all = append(all, judgeProblems(name, s.Key, append(shared[:len(shared):len(shared)], own[s.Key]...)))
	}
	return all
}

func serviceOf(path string, services []definition.Service) string {
	for i := range services {
		key := services[i].Key
		for _, form := range []string{"." + key, fmt.Sprintf("[%q]", key)} {
			if rest, ok := strings.CutPrefix(path, form); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
				return key
			}
		}
	}
	return ""
}

func judgeProblems(file, service string, problems diag.List) verdict {
	v := verdict{file: file, service: service, word: "ok"}
	rank := map[string]int{"ok": 0, "unsupported": 1, "variables": 2, "error": 3}
	take := func(word string, p diag.Problem) {
		if rank[word] > rank[v.word] {
			v.word, v.reason = word, p.Path+": "+p.What
		}
	}
	for _, p := range problems {
		switch {
		case p.Severity == diag.Warning:
		case p.Rule == diag.RuleUnsupported:
			take("unsupported", p)
		case p.Rule == diag.RuleVariable && strings.Contains(p.What, "is not set"):
			take("variables", p)
		default:
			take("error", p)
		}
	}
	return v
}

// collectionOf is OWNER/NAME.
func collectionOf(v verdict) string {
	parts := strings.SplitN(v.file, "/", 3)
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

// summary counts the words.
func summary(all []verdict) string {
	count := map[string]int{}
	for _, v := range all {
		count[v.word]++
	}
	fine := count["ok"] + count["unsupported"]
	return fmt.Sprintf("%d services: %d ok, %d unsupported, %d variables, %d error; %.1f %% translate or name what is unsupported",
		len(all), count["ok"], count["unsupported"], count["variables"], count["error"], 100*float64(fine)/float64(max(len(all), 1)))
}

// write prints verdicts in the order of their files, so that a collection's are together.
func write(all []verdict) {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, "# "+summary(all))
	for i, first := 0, 0; i < len(all); i++ {
		if i+1 == len(all) || collectionOf(all[i+1]) != collectionOf(all[i]) {
			fmt.Fprintf(out, "# %s: %s\n", collectionOf(all[i]), summary(all[first:i+1]))
			first = i + 1
		}
	}
	for _, v := range all {
		fmt.Fprintln(out, strings.TrimRight(strings.Join([]string{v.word, v.file, v.service, v.reason}, "\t"), "\t"))
	}
}
