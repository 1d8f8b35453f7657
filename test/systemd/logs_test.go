// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// "1,000,000 numbered lines from a payload that then exits at once arrive
// complete and in order."
//
//lab:once
func TestAMillionLinesArrive(t *testing.T) {
	floodsJournal(t)
	linesArrive(t, scoped, 1_000_000)
}

// Wherever the payload is, and whatever takes its lines.
func TestEveryLineArrives(t *testing.T) {
	floodsJournal(t)
	everywhere(t, func(t *testing.T, p placement) { linesArrive(t, p, 50_000) })
}

// floodsJournal is for a test that writes so much that others would wait for journald, which
// drops what PID 1 tells it then: it has no other test beside it, and its lines go with
// it, for who looks into the journal opens all of it.
func floodsJournal(t *testing.T) {
	t.Cleanup(func() { must(t, "journalctl", "-q", "--rotate", "--vacuum-size=8M") })
}

func linesArrive(t *testing.T, p placement, lines int) {
	t.Helper()
	c := p.define(t, fmt.Sprint("lines-", lines), fmt.Sprintf("rootfs: host\ncommand: [seq, %q]", strconv.Itoa(lines))).start()
	c.await("ActiveState", "inactive")
	c.awaitNumbers(lines)
}

// counter writes numbers as fast as it can; its last word is how many they
// were. It counts and writes in one command: a trap runs between commands, and
// thus not before journald has taken what fills the pipe.
const counter = `rootfs: host
stop_grace_period: 1m
command:
  - sh
  - -c
  - 'trap "echo last \$$i; exit" TERM; i=0; while echo $$((i+=1)); do :; done'`

// "… also when the stop races with the last write."
func TestEveryLineArrivesWhenStopped(t *testing.T) {
	floodsJournal(t)
	everywhere(t, func(t *testing.T, p placement) {
		c := p.define(t, "race", counter).start()
		await(t, "it counts", func() bool { return c.log("-n", "1") != "" })
		c.stop()
		c.awaitNumbers(c.awaitLastWord())
	})
}

// A host may forbid programs that are in memory alone: then cat(1) is the relay,
// and every line arrives, also those of before the stop.
//
//lab:once
func TestRelayIsCatWhereMemoryIsNoProgram(t *testing.T) {
	floodsJournal(t)
	c := scoped.define(t, "cat", counter, "SystemCallFilter=~memfd_create", "SystemCallErrorNumber=EACCES").start()
	await(t, "the relay is cat(1)", func() bool {
		list := pids("/unitc.slice/" + c.unit())
		if len(list) != 1 {
			return false
		}
		exe, err := os.Readlink("/proc/" + list[0] + "/exe")
		return err == nil && filepath.Base(exe) == "cat"
	})
	await(t, "it counts", func() bool { return c.log("-n", "1") != "" })
	c.stop()
	c.awaitNumbers(c.awaitLastWord())
}

// awaitLastWord gives the number that counter ends with.
func (c *container) awaitLastWord() int {
	c.t.Helper()
	last := ""
	defer func() {
		if c.t.Failed() { // is it journald that has not written it, or journalctl that does not find the end?
			lines := strings.Split(strings.TrimSpace(c.output()), "\n")
			out, _ := command(c.t, "journalctl", "--sync")
			c.t.Logf("the end is %q, and %q of %d lines where all are read; journalctl --sync: %s", last, lines[len(lines)-1], len(lines), out)
		}
	}()
	// What the pipe and journald's socket hold, some forty thousand lines, takes more
	// than a minute where journald has the lines of other tests, too.
	for came := time.Now(); !strings.HasPrefix(last, "last "); time.Sleep(500 * time.Millisecond) {
		if end := strings.TrimSpace(c.log("-n", "1")); end != last {
			last, came = end, time.Now()
		} else if time.Since(came) > patience {
			c.t.Fatalf("for %v no line has arrived, and the last word has not", patience)
		}
	}
	n, err := strconv.Atoi(strings.TrimPrefix(last, "last "))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// awaitNumbers waits for the number n and demands that the output has every
// number up to it, once and in order, and nothing behind it but the last word.
func (c *container) awaitNumbers(n int) {
	c.t.Helper()
	must(c.t, "journalctl", "--sync")
	await(c.t, fmt.Sprintf("the journal has %d lines", n), func() bool {
		return strings.Contains("\n"+c.log("-n", "2"), fmt.Sprintf("\n%d\n", n))
	})
	// journalctl passes over a file that journald gives its last name meanwhile: what
	// is lost is not there the next time either.
	for tries := 5; ; tries-- {
		wrong := c.wrongNumber(n)
		if wrong == "" {
			return
		}
		if tries == 0 {
			c.t.Fatal(wrong)
		}
		c.t.Logf("%s; once more", wrong)
		time.Sleep(time.Second)
	}
}

// wrongNumber is where the output is not the numbers up to n, "" if it is.
func (c *container) wrongNumber(n int) string {
	c.t.Helper()
	line := 0
	for text := range strings.Lines(c.output()) {
		text = strings.TrimSuffix(text, "\n")
		if line > 0 && text == strconv.Itoa(line) {
			c.isJournaldsRepetition(text)
			continue
		}
		if line++; text != strconv.Itoa(line) && text != fmt.Sprintf("last %d", n) {
			return fmt.Sprintf("where line %d should be there is %q", line, text)
		}
	}
	if line < n || line > n+1 {
		return fmt.Sprintf("%d lines of %d", line, n)
	}
	return ""
}

// isJournaldsRepetition: journald may write the line that fills a file into the
// next one again (systemd issue 29016), and no other twice.
func (c *container) isJournaldsRepetition(text string) {
	c.t.Helper()
	files, err := filepath.Glob("/*/log/journal/*/*.journal")
	if err != nil {
		c.t.Fatal(err)
	}
	in := 0
	for _, file := range files {
		switch n := strings.Count("\n"+c.log("--file", file), "\n"+text+"\n"); {
		case n > 1:
			c.t.Errorf("%q stands %d times in %s", text, n, file)
		case n == 1:
			in++
		}
	}
	if in != 2 {
		c.t.Errorf("%q stands in %d files of the journal, of %d", text, in, len(files))
	}
}

// What is killed at once has lines on their way as well, and systemd sends the last
// signal to the relay also where the payload has ended by itself.
func TestLinesOfWhatIsKilledAtOnce(t *testing.T) {
	t.Parallel()
	c := scoped.define(t, fresh("at-once"), "rootfs: host\ninit: true\nnetwork_mode: none\nstop_grace_period: 0s\ncommand: [sh, -c, 'sleep 1; seq 5000']").start()
	relay := 0
	await(t, "there is a relay", func() bool {
		for _, pid := range pids("/unitc.slice/" + c.unit()) {
			if comm, _ := os.ReadFile("/proc/" + pid + "/comm"); strings.TrimSpace(string(comm)) == "unitc-relay" {
				relay, _ = strconv.Atoi(pid)
			}
		}
		return relay > 0
	})
	if err := unix.Kill(relay, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, "the payload has ended", func() bool { return c.show("SubState") != "running" })
	// systemd has it go on as well, so that it may be done by now.
	if err := unix.Kill(relay, unix.SIGCONT); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Error(err)
	}
	c.await("ActiveState", "inactive")
	c.awaitNumbers(5000)
}

// A journald that is stopped closes its streams, and systemd before 254 keeps none of
// them. The payload does not die of that, and its lines go on with the next journald.
func TestLinesGoOnWithTheNextJournald(t *testing.T) {
	place(t, "/run/systemd/system/systemd-journald.service.d/forgetful.conf", "[Service]\nFileDescriptorStorePreserve=no\n")
	t.Cleanup(func() {
		os.Remove("/run/systemd/system/systemd-journald.service.d")
		reload(t)
	})
	const text = "rootfs: host\ninit: true\nnetwork_mode: none\nstop_grace_period: 1m\ncommand: [sh, -c, 'i=0; while :; do echo $$((i+=1)); sleep 0.02; done']\n"
	var all []*container
	for _, c := range []struct{ name, more string }{
		{"copied", ""}, {"called", "logging: {options: {tag: other-name}}"}, {"checked", "healthcheck: {test: [CMD, 'true']}"},
	} {
		d := scoped.define(t, "next-journald-"+c.name, text)
		if c.more != "" {
			place(t, definitions+d.name+".yaml.d/more.yaml", c.more)
			reload(t)
		}
		all = append(all, d.start())
	}
	lines := func(c *container) int { return strings.Count(c.log(), "\n") }
	pids := map[*container]string{}
	for _, c := range all {
		await(t, "it writes", func() bool { return lines(c) > 3 })
		pids[c] = c.show("MainPID")
	}
	must(t, "systemctl", "stop", "systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald.service")
	time.Sleep(time.Second)
	must(t, "systemctl", "start", "systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald.service")
	for _, c := range all {
		before := lines(c)
		await(t, c.name+" writes again", func() bool { return lines(c) > before+10 })
		c.expect(c.unit(), "ActiveState=active", "MainPID="+pids[c])
		if n := lines(c); strings.Contains(c.name, "called") && strings.Count(must(t, "journalctl", "-q", "-t", "other-name", "-o", "cat"), "\n") < n {
			t.Error("the lines are called otherwise now")
		}
		c.stop()
	}
}
