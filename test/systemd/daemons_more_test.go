// SPDX-License-Identifier: Apache-2.0

//go:build lab && daemons

package systemd

import (
	"os"
	"strings"
	"testing"
	"time"
)

// As its documentation says to run it. It sees the host's file systems, whose kernel
// views cannot be id-mapped. Of itself it takes no stop signal: as the first process of a
// container a Go program then ends with status 2.
func TestDaemonNodeExporter(t *testing.T) {
	const watch = "rootfs: host\nuser: nobody\ncommand: [prometheus-node-exporter, --path.rootfs=/host]\nvolumes: ['/:/host:ro,rslave']\n"
	scrape := func(unit string) {
		t.Helper()
		figures := inNetwork(t, unit, "node_cpu_seconds_total", "busybox", "wget", "-qO-", "http://127.0.0.1:9100/metrics")
		if !strings.Contains(figures, `node_filesystem_size_bytes{`) || !strings.Contains(figures, `mountpoint="/"`) {
			t.Errorf("%s sees no file system of the host:\n%.2000s", unit, figures)
		}
	}
	startDaemon(t, "figures", watch+"network_mode: host\npid: host\n")
	scrape("figures")
	if log := must(t, "journalctl", "-q", "-o", "cat", "-u", "figures"); !strings.Contains(log, "volumes: / has mounts in it that cannot be id-mapped") {
		t.Errorf("no warning:\n%s", log)
	}
	stopDaemon(t, "figures", "15")

	startDaemon(t, "exporter", watch)
	scrape("exporter")
	must(t, "systemctl", "stop", "exporter")
	if why := must(t, "unitc", "why", "exporter"); !strings.Contains(why, "exited with status 2 when it was told to stop") || !strings.Contains(why, "write `init: true`") {
		t.Errorf("unitc why says:\n%s", why)
	}
	startDaemon(t, "exporter", watch+"init: true\n")
	scrape("exporter")
	stopDaemon(t, "exporter", "143")
}

// With a master and a worker: SIGUSR2 reads the configuration anew, SIGUSR1 ends both.
// Only chroot asks for a capability, and is told which.
func TestDaemonHAProxy(t *testing.T) {
	dir := t.TempDir()
	must(t, "chmod", "755", dir)
	configure := func(global, answer string) {
		t.Helper()
		text := "global\n log stdout format raw local0\n" + global + "defaults\n mode http\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n" +
			"frontend f\n bind *:80\n http-request return status 200 content-type text/plain string " + answer + "\n"
		if err := os.WriteFile(dir+"/haproxy.cfg", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	definition := "rootfs: host\ncommand: [haproxy, -W, -db, -f, /etc/proxy/haproxy.cfg]\nstop_signal: SIGUSR1\nvolumes: ['" + dir + ":/etc/proxy:ro']\n"
	get := func(answer string) { inNetwork(t, "proxy", answer, "busybox", "wget", "-qO-", "http://127.0.0.1/") }
	configure("", "one")
	startDaemon(t, "proxy", definition+"user: haproxy\n")
	get("one")
	configure("", "two")
	must(t, "systemctl", "kill", "--kill-whom=main", "--signal=SIGUSR2", "proxy")
	get("two")
	stopDaemon(t, "proxy", "0")

	configure(" chroot /var/lib/haproxy\n user haproxy\n group haproxy\n", "three")
	prepared := strings.Replace(definition, "[haproxy,", `[sh, -c, 'mkdir -p /var/lib/haproxy; exec "$$0" "$$@"', haproxy,`, 1)
	startDaemon(t, "proxy", prepared)
	await(t, "it has failed", func() bool { return property(t, "proxy", "ActiveState") == "failed" })
	if why := must(t, "unitc", "why", "proxy"); !strings.Contains(why, "chroot that its last lines speak of: write `cap_add: [SYS_CHROOT]`") {
		t.Errorf("unitc why says:\n%s", why)
	}
	startDaemon(t, "proxy", prepared+"cap_add: [SYS_CHROOT]\n")
	get("three")
	stopDaemon(t, "proxy", "0")
}

// A login parts privileges by chroot(2), in a process of its own: without the capability
// the daemon goes on and nobody gets in.
func TestDaemonOpenSSH(t *testing.T) {
	keys := t.TempDir()
	must(t, "chmod", "755", keys)
	must(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys+"/host")
	must(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys+"/login")
	definition := `rootfs: host
command: [sh, -c, 'mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e -f /dev/null -h /keys/host -o UsePAM=no -o StrictModes=no -o AuthorizedKeysFile=/keys/login.pub']
volumes: ["` + keys + `:/keys:ro"]
`
	login := []string{"ssh", "-tt", "-F", "/dev/null", "-i", keys + "/login", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "root@127.0.0.1", "id -un; tty"}
	startDaemon(t, "shells", definition)
	await(t, "why nobody gets in", func() bool {
		out, status := command(t, "nsenter", append([]string{"-n", "-t", property(t, "shells", "MainPID"), "--"}, login...)...)
		if status == 0 {
			t.Fatalf("it lets in:\n%s", out)
		}
		return strings.Contains(must(t, "unitc", "why", "shells"), "for the chroot that its log speaks of: write `cap_add: [SYS_CHROOT]`")
	})
	stopDaemon(t, "shells", "0")
	startDaemon(t, "shells", definition+"cap_add: [SYS_CHROOT]\n")
	if out := inNetwork(t, "shells", "root", login...); !strings.Contains(out, "/dev/pts/") {
		t.Errorf("the login says %s", out)
	}
	stopDaemon(t, "shells", "0")
}

// It has no handler for the stop signal, which then does nothing to the first process of
// a container.
func TestDaemonCron(t *testing.T) {
	startDaemon(t, "clockwork", "rootfs: host\ncommand: [cron, -f]\nstop_grace_period: 1s\n")
	must(t, "systemctl", "stop", "clockwork")
	if why := must(t, "unitc", "why", "clockwork"); !strings.Contains(why, "it did not stop within") || !strings.Contains(why, "write `init: true`") {
		t.Errorf("unitc why says:\n%s", why)
	}
	startDaemon(t, "clockwork", "rootfs: host\ncommand: [cron, -f]\nstop_grace_period: 1s\ninit: true\n")
	stopDaemon(t, "clockwork", "143")
}

// As the official image: root gives the data to the user, to whom the daemon changes, on
// a read-only root file system, with a health check. What it keeps outlives a restart.
func TestDaemonMosquitto(t *testing.T) {
	t.Cleanup(func() { command(t, "unitc", "volume", "rm", "messages") })
	startDaemon(t, "broker", `rootfs: host
read_only: true
command:
  - sh
  - -ec
  - |
    chown -R mosquitto:mosquitto /mosquitto
    printf 'user mosquitto\nlistener 1883\nallow_anonymous true\npersistence true\npersistence_location /mosquitto/\nlog_dest stdout\n' >/tmp/conf
    exec mosquitto -c /tmp/conf
volumes: ["messages:/mosquitto"]
tmpfs: [/tmp]
healthcheck: {test: [CMD-SHELL, "mosquitto_sub -t '$$SYS/#' -C 1 -W 3"], interval: 1s, timeout: 5s, retries: 30}
`)
	inNetwork(t, "broker", "", "mosquitto_pub", "-r", "-t", "kept", "-m", "hello")
	must(t, "systemctl", "restart", "broker")
	inNetwork(t, "broker", "hello", "mosquitto_sub", "-t", "kept", "-C", "1", "-W", "5")
	stopDaemon(t, "broker", "0")
}

// A web server, a program behind it and a store with a password: they start in order, all
// of them come back with their data, together and after the store was killed.
func TestDaemonProject(t *testing.T) {
	dir := t.TempDir()
	must(t, "chmod", "755", dir)
	for name, text := range map[string]string{
		"word": "a secret\n",
		"app.py": `import http.server, socket
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        word = open("/run/secrets/word").read().strip()
        with socket.create_connection(("store", 6379), 2) as s:
            f = s.makefile("rwb")
            for call in (("AUTH", word), ("INCR", "visits")):
                f.write(b"*%d\r\n" % len(call) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in call)); f.flush()
                answer = f.readline()
        self.send_response(200); self.end_headers(); self.wfile.write(b"visits " + answer)
print("app is up", flush=True)
http.server.ThreadingHTTPServer(("", 8000), Answer).serve_forever()
`,
		"nginx.conf": "events {} http { access_log /dev/stdout; server { listen 80; location / { proxy_pass http://app:8000; } } }\n",
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cleanReload(t)
	place(t, definitions+"visits.yaml", `services:
  web:
    rootfs: host
    command: [nginx, -c, /app/nginx.conf, -e, /dev/stderr, -g, "daemon off; pid /tmp/pid;"]
    stop_signal: SIGQUIT
    ports: ["127.0.0.1:8088:80"]
    volumes: ["`+dir+`:/app:ro"]
    tmpfs: [/var/lib/nginx]
    depends_on: {app: {condition: service_healthy}}
    restart: unless-stopped
  app:
    rootfs: host
    user: www-data
    init: true
    command: [python3, /app/app.py]
    volumes: ["`+dir+`:/app:ro"]
    secrets: [word]
    depends_on: {store: {condition: service_healthy}}
    healthcheck: {test: [CMD, python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8000), 1)"], interval: 1s, retries: 30}
    restart: unless-stopped
  store:
    rootfs: host
    command: [sh, -c, 'chown -R redis /data && exec setpriv --reuid=redis --regid=redis --init-groups redis-server --dir /data --appendonly yes --protected-mode no --requirepass "$$(cat /run/secrets/word)"']
    secrets: [word]
    volumes: ["kept:/data"]
    healthcheck: {test: [CMD-SHELL, 'redis-cli -a "$$(cat /run/secrets/word)" ping | grep PONG'], interval: 1s, retries: 30}
    restart: unless-stopped
volumes: {kept: {}}
secrets: {word: {file: `+dir+`/word}}
`)
	reload(t)
	t.Cleanup(func() {
		command(t, "unitc", "down", "visits")
		command(t, "unitc", "volume", "rm", "visits_kept")
	})
	visit := func(want string) {
		t.Helper()
		out := ""
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			status := 0
			if out, status = command(t, "busybox", "wget", "-qO-", "http://127.0.0.1:8088/"); status == 0 {
				break
			}
		}
		if !strings.Contains(out, want) {
			log, _ := command(t, "journalctl", "-q", "-n", "40", "-u", "visits-*")
			t.Fatalf("the page is %q, want %s\n%s", out, want, log)
		}
	}
	must(t, "systemctl", "start", "visits.target")
	visit("visits :1")
	await(t, "the request is in the journal", func() bool {
		return strings.Contains(must(t, "journalctl", "-q", "-o", "cat", "-u", "visits-web"), `"GET / HTTP/1.1" 200`)
	})
	must(t, "systemctl", "restart", "visits.target")
	visit("visits :2")
	must(t, "systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "visits-store")
	visit("visits :3")
	must(t, "systemctl", "stop", "visits.target")
	for _, name := range []string{"web", "app", "store"} {
		await(t, name+" has stopped", func() bool { return property(t, "visits-"+name, "ActiveState") != "deactivating" })
		if state, result := property(t, "visits-"+name, "ActiveState"), property(t, "visits-"+name, "Result"); state != "inactive" || result != "success" {
			t.Errorf("%s is %s, %s", name, state, result)
		}
	}
}
