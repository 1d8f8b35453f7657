// SPDX-License-Identifier: Apache-2.0

//go:build lab && daemons

package systemd

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The daemons of Debian's packages run under all of unitc's defaults, without a
// key that loosens one. Each is used by a client in its network namespace.
func TestDaemonNginx(t *testing.T) {
	startDaemon(t, "nginx", `rootfs: host
command: [nginx, -g, "daemon off;"]
volumes: [/etc/nginx:/etc/nginx:ro, /var/www:/var/www:ro, /var/lib/nginx:/var/lib/nginx, /var/log/nginx:/var/log/nginx]
stop_signal: SIGQUIT
`)
	page := inNetwork(t, "nginx", "nginx", "busybox", "wget", "-qO-", "http://127.0.0.1/")
	if !strings.Contains(page, "<html") {
		t.Errorf("the page is %s", page)
	}
	// A root master on port 80, workers of another user.
	if users := must(t, "ps", "-C", "nginx", "-o", "uid="); len(distinct(users)) < 2 {
		t.Errorf("master and workers run as %q", users)
	}
	stopDaemon(t, "nginx", "0")
}

// Not called redis: that is the name of the package's own unit.
func TestDaemonRedis(t *testing.T) {
	data := ownedDir(t, "redis")
	startDaemon(t, "cache", `rootfs: host
user: redis
command: [redis-server, --dir, /data, --io-threads, "2"]
volumes: ["`+data+`:/data"]
`)
	ask := func(words ...string) string {
		return inNetwork(t, "cache", "PONG", append([]string{"redis-cli"}, words...)...)
	}
	if got := ask("SET", "key", "value"); !strings.Contains(got, "OK") {
		t.Errorf("SET says %s", got)
	}
	if got := ask("BGSAVE"); !strings.Contains(got, "Background saving started") {
		t.Errorf("BGSAVE says %s", got)
	}
	stopDaemon(t, "cache", "0")
	if _, err := os.Stat(data + "/dump.rdb"); err != nil {
		t.Errorf("%v; the journal:\n%s", err, must(t, "journalctl", "-q", "-n", "30", "-u", "cache"))
	}
}

// As the official image's entrypoint: root prepares the directory, then becomes
// the user.
func TestDaemonPostgreSQL(t *testing.T) {
	data := t.TempDir()
	must(t, "chmod", "755", data)
	startDaemon(t, "postgres", `rootfs: host
command:
  - /bin/sh
  - -ec
  - |
    mkdir -p /data/pg && chown -R postgres:postgres /data/pg && chmod 700 /data/pg
    exec setpriv --reuid=postgres --regid=postgres --init-groups sh -ec '
      /usr/lib/postgresql/17/bin/initdb -A trust -D /data/pg >/dev/null
      exec /usr/lib/postgresql/17/bin/postgres -D /data/pg -c unix_socket_directories=/tmp'
volumes: ["`+data+`:/data"]
shm_size: 256m
stop_signal: SIGINT
`)
	sql := func(query string) string {
		return inNetwork(t, "postgres", "", "psql", "-h", "127.0.0.1", "-U", "postgres", "-Atc", query)
	}
	sql("CREATE TABLE t AS SELECT generate_series(1, 100000) AS n")
	if got := strings.TrimSpace(sql("SET jit_above_cost = 0; SELECT sum(n) FROM t")); !strings.HasSuffix(got, "5000050000") {
		t.Errorf("the sum is %s", got)
	}
	stopDaemon(t, "postgres", "0")
}

func TestDaemonPython(t *testing.T) {
	runProgram(t, "python", `import asyncio, multiprocessing, os, socket, sqlite3, subprocess, tempfile, threading
def square(n): return n * n
if __name__ == "__main__":
    with multiprocessing.Pool(2) as p: assert p.map(square, [1, 2, 3]) == [1, 4, 9]
    db = sqlite3.connect(os.path.join(tempfile.mkdtemp(), "db")); db.execute("create table t(n)"); db.commit()
    async def serve():
        async def answer(r, w): w.write(await r.readline()); w.close()
        s = await asyncio.start_server(answer, "127.0.0.1", 80)
        r, w = await asyncio.open_connection("127.0.0.1", 80); w.write(b"hi\n"); assert await r.readline() == b"hi\n"; s.close()
    asyncio.run(serve())
    os.close(os.memfd_create("x")); t = threading.Thread(target=lambda: None); t.start(); t.join()
    assert subprocess.run(["/bin/echo", "x"], capture_output=True).stdout == b"x\n"
    print("all well", flush=True)
`, "python3")
}

func TestDaemonNode(t *testing.T) {
	runProgram(t, "node", `const { Worker } = require("worker_threads"), http = require("http"), { execFileSync } = require("child_process"), fs = require("fs")
console.log("begins")
fs.writeFileSync("/tmp/x", "y")
if (execFileSync("/bin/echo", ["x"]).toString() !== "x\n") process.exit(1)
new Worker("require('worker_threads').parentPort.postMessage(42)", { eval: true }).on("message", () => {
  console.log("worker answers")
  const s = http.createServer((q, r) => r.end("hi")).listen(80, "127.0.0.1", () =>
    http.get("http://127.0.0.1:80/", r => r.on("data", d => { console.log("all well"); s.close() })))
})
`, "node")
}

// startDaemon starts a definition and fails with what systemctl says.
func startDaemon(t *testing.T, name, definition string) {
	t.Helper()
	cleanReload(t)
	place(t, definitions+name+".yaml", definition)
	reload(t)
	if out, status := command(t, "systemctl", "start", name); status != 0 {
		out2, _ := command(t, "systemctl", "status", "-n", "50", name)
		t.Fatalf("%s%s", out, out2)
	}
	t.Cleanup(func() {
		command(t, "systemctl", "stop", name)
		command(t, "systemctl", "reset-failed", name)
	})
}

// inNetwork runs a client in the container's network until it has an answer
// that contains want and exits with 0.
func inNetwork(t *testing.T, unit, want string, client ...string) string {
	t.Helper()
	if want == "PONG" {
		inNetwork(t, unit, "P", "redis-cli", "PING")
		want = ""
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		out, status := command(t, "nsenter", append([]string{"-n", "-t", property(t, unit, "MainPID"), "--"}, client...)...)
		if status == 0 && strings.Contains(out, want) {
			return out
		}
		if time.Now().After(deadline) || property(t, unit, "ActiveState") != "active" {
			log, _ := command(t, "journalctl", "-q", "-n", "40", "-u", unit)
			t.Fatalf("%q exits with %d:\n%s\nthe journal:\n%s", client, status, out, log)
		}
	}
}

func stopDaemon(t *testing.T, unit, status string) {
	t.Helper()
	must(t, "systemctl", "stop", unit)
	if got, result := property(t, unit, "ExecMainStatus"), property(t, unit, "Result"); got != status || result != "success" {
		t.Errorf("%s ended with status %s, result %s", unit, got, result)
	}
}

// runProgram runs a script to its end under the defaults, as root and as a user.
func runProgram(t *testing.T, name, script, interpreter string) {
	t.Helper()
	dir := t.TempDir()
	must(t, "chmod", "755", dir)
	if err := os.WriteFile(dir+"/script.js", []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"root", "nobody"} {
		unit := name + "-" + user
		startDaemon(t, unit, "rootfs: host\nuser: "+user+"\ncommand: ["+interpreter+", /app/script.js]\nvolumes: ['"+dir+":/app:ro']\nenvironment: {HOME: /tmp}\n")
		awaitLine(t, unit, "all well")
		for deadline := time.Now().Add(30 * time.Second); property(t, unit, "ActiveState") == "active" && time.Now().Before(deadline); {
			time.Sleep(50 * time.Millisecond)
		}
		if got := property(t, unit, "Result"); got != "success" {
			t.Errorf("as %s: result %s", user, got)
		}
	}
}

// ownedDir is a directory that belongs to a user of the host.
func ownedDir(t *testing.T, user string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, "chmod", "755", dir)
	must(t, "chown", user, dir)
	return dir
}

func distinct(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}
