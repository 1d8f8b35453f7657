// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

const structuredLines = `printf '%s\n' '{"level":"error","msg":"no database","user":"bob","http":{"status":503},"took":1.5}' ` +
	`'{"severity":"warning","message":"two\nlines","UNIT":"ssh.service","_SYSTEMD_UNIT":"x","MESSAGE_ID":"y"}' ` +
	`'{"lvl":30,"n":1}' 'plain words' '<3>prefixed' '{"msg":"cut off'; printf last; exit 3`

// "`format: json` maps keys to journal fields and level to PRIORITY, tag, rate
// limits; `unitc logs -p err`."
func TestStructuredLogs(t *testing.T) {
	t.Parallel()
	for _, p := range joinable {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			testStructuredLogs(t, p)
		})
	}
}

func testStructuredLogs(t *testing.T, p placement) {
	u := p.define(t, "structured", "rootfs: host\ncommand: [sh, -c, "+fmt.Sprintf("%q", strings.ReplaceAll(structuredLines, "$", "$$"))+"]")
	place(t, "/etc/unitc/"+u.name+".yaml.d/log.yaml", "logging: {options: {format: json, tag: shop, rate_limit_interval: 1m, rate_limit_burst: 100000}}\n")
	reload(t)
	u.expect(u.unit(), "SyslogIdentifier=shop", "LogRateLimitIntervalUSec=1min", "LogRateLimitBurst=100000")
	u.startAsync()
	u.await("ActiveState", "failed")
	var got []string
	await(t, "the lines are in the journal", func() bool {
		got = nil
		for line := range strings.Lines(must(t, "journalctl", "-q", "--no-pager", "-o", "json", "-u", u.unit(), "SYSLOG_IDENTIFIER=shop", "_TRANSPORT=journal")) {
			var e map[string]any
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v: %q", err, line)
			}
			words := []string{fmt.Sprint(e["PRIORITY"]), fmt.Sprint(e["MESSAGE"])}
			for _, name := range []string{"USER", "HTTP", "TOOK", "X_UNIT", "X_SYSTEMD_UNIT", "X_MESSAGE_ID", "N", "UNIT", "MESSAGE_ID"} {
				if v, ok := e[name]; ok {
					words = append(words, fmt.Sprint(name, "=", v))
				}
			}
			got = append(got, strings.Join(words, "|"))
		}
		return len(got) >= 7
	})
	want := []string{
		`3|no database|USER=bob|HTTP={"status":503}|TOOK=1.5`, "4|two\nlines|X_UNIT=ssh.service|X_SYSTEMD_UNIT=x|X_MESSAGE_ID=y",
		`6|{"lvl":30,"n":1}|N=1`, "6|plain words", "3|prefixed", `6|{"msg":"cut off`, "6|last",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the journal has\n%s\nand should have\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if out := must(t, "unitc", "logs", "-p", "err", "-o", "cat", u.name); !strings.Contains(out, "no database\n") || strings.Contains(out, "plain words") {
		t.Errorf("unitc logs -p err prints\n%s", out)
	}
	// What a journald that other tests keep busy has not written yet it tells later.
	await(t, "unitc why has the lines", func() bool {
		lines := fmt.Sprint(why(t, u.name)["lines"])
		return strings.Contains(lines, "no database") && strings.Contains(lines, "last")
	})
}

// "rate limits": journald passes the burst, which it makes up to six times as
// large on a disk with room (journald.conf(5)), and drops the rest.
func TestRateLimitDropsLines(t *testing.T) {
	t.Parallel()
	for _, p := range joinable {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			u := p.define(t, "limited", `rootfs: host
init: true
tmpfs: [/run/app]
command: [sh, -c, 'i=0; while test $$i -lt 3000; do echo line $$i; i=$$((i+1)); done; touch /run/app/done; exec sleep infinity']`)
			place(t, "/etc/unitc/"+u.name+".yaml.d/log.yaml", "logging: {options: {rate_limit_interval: 1h, rate_limit_burst: 20}}\n")
			reload(t)
			u.start()
			await(t, "all lines are written", func() bool {
				_, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/app/done", u.mainPID()))
				return err == nil
			})
			must(t, "journalctl", "--sync")
			if n := strings.Count(u.output(), "line "); n < 20 || n > 500 {
				t.Errorf("the journal has %d lines of 3000, with a limit of 20", n)
			}
		})
	}
}

// Nothing is lost, and nothing out of order, also when the payload ends at once.
//
//lab:once
func TestEveryStructuredLineArrives(t *testing.T) {
	floodsJournal(t)
	for _, p := range joinable {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			testEveryStructuredLine(t, p)
		})
	}
}

func testEveryStructuredLine(t *testing.T, p placement) {
	const lines = 20000
	u := p.define(t, "structured-all", fmt.Sprintf("rootfs: host\ncommand: [perl, -e, 'print \"{\\\"level\\\":\\\"info\\\",\\\"msg\\\":\\\"line $$_\\\"}\\n\" for 1..%d']", lines))
	place(t, "/etc/unitc/"+u.name+".yaml.d/log.yaml", "logging: {options: {format: json, rate_limit_interval: 0s}}\n")
	reload(t)
	u.start() // it is inactive before, too
	u.await("ActiveState", "inactive")
	must(t, "journalctl", "--sync")
	n := 0
	for line := range strings.Lines(must(t, "journalctl", "-q", "--no-pager", "-o", "cat", "SYSLOG_IDENTIFIER="+u.name, "_TRANSPORT=journal")) {
		if n++; line != fmt.Sprintf("line %d\n", n) {
			t.Fatalf("line %d is %q", n, line)
		}
	}
	if n != lines {
		t.Errorf("%d of %d lines arrived", n, lines)
	}
}
