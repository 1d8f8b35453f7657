// SPDX-License-Identifier: Apache-2.0

// Command suite measures unitc beside its peers, on the machine it runs in: a
// lab machine with systemd as PID 1 (`make bench`). What is compared runs in
// turns, in an order that changes with every round, so that a busy machine
// slows all of them; nothing is asserted here. Rows go to standard output as
// TSV, what happens meanwhile to standard error.
//
//	suite [-quick] [-rows REGEXP] [-peers REGEXP] [-n N]
//	suite -boots [-peers REGEXP] [-n N]     in a VM, once in each boot
//	suite -report bench.tsv -out DIR        tables and plots from rows
//	suite -compare OLD.tsv NEW.tsv          which ratios got worse
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	quick := flag.Bool("quick", false, "fewer rounds, and the rows that CI watches")
	rows := flag.String("rows", ".", "measure the rows whose name matches")
	names := flag.String("peers", ".", "measure the peers whose name matches")
	rounds := flag.Int("n", 0, "rounds of each row; 0: as many as it needs")
	boots := flag.Bool("boots", false, "measure boots, in a VM of the lab, which runs this in each")
	from := flag.String("report", "", "make tables and plots of this TSV file")
	out := flag.String("out", ".", "where they go")
	compare := flag.Bool("compare", false, "compare two TSV files")
	flag.Parse()
	switch {
	case *compare && flag.NArg() == 2:
		return compareFiles(flag.Arg(0), flag.Arg(1))
	case *from != "":
		return report(*from, *out)
	}
	row, err := regexp.Compile(*rows)
	if err != nil {
		return err
	}
	name, err := regexp.Compile(*names)
	if err != nil {
		return err
	}
	b := &bench{quick: *quick, rounds: *rounds, wantRow: row, wantPeer: name}
	if *boots {
		return b.boots()
	}
	if !slices.ContainsFunc(measured, func(m measurement) bool { return row.MatchString(m.name) }) {
		return nil
	}
	if err := b.prepare(); err != nil {
		return err
	}
	return b.all()
}

// bench is one run of all rows.
type bench struct {
	quick             bool
	rounds            int
	wantRow, wantPeer *regexp.Regexp
	peers             []*peer
}

// n is how many rounds a row gets: full or quick.
func (b *bench) n(full, quick int) int {
	switch {
	case b.rounds > 0:
		return b.rounds
	case b.quick:
		return quick
	}
	return full
}

type measurement struct {
	name string
	do   func(*bench) error
}

// measured are all rows but that of boots, which lab bench asks for by itself.
var measured = []measurement{
	{"start", (*bench).starts},
	{"trace", (*bench).trace},
	{"direct", (*bench).direct},
	{"memory", (*bench).memory},
	{"many", (*bench).many},
	{"logs", (*bench).logs},
	{"exec", (*bench).execs},
	{"list", (*bench).listings},
	{"reload", (*bench).reloads},
	{"network", (*bench).networks},
	{"ports", (*bench).ports},
	{"image", (*bench).bigImages}, // the last: it takes a gigabyte
}

func (b *bench) all() error {
	for _, row := range measured {
		if !b.wantRow.MatchString(row.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "=== %s\n", row.name)
		if err := row.do(b); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return nil
}
