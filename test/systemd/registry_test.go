// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	registryserver "github.com/google/go-containerregistry/pkg/registry"
)

// registry is a real one on the loopback, without TLS, that counts.
type registry struct {
	*httptest.Server
	host  string
	mutex sync.Mutex
	gets  map[string]int // by "blobs", "manifests", and "questions", which HEAD are, too
	down  bool
	hold  chan struct{} // blobs come when it is closed
	user  string        // "" = it is for everybody
	word  string        // the password
}

func startRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{gets: map[string]int{}}
	inner := registryserver.New(registryserver.Logger(log.New(io.Discard, "", 0)))
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mutex.Lock()
		if strings.Contains(req.URL.Path, "/manifests/") && (req.Method == http.MethodGet || req.Method == http.MethodHead) {
			r.gets["questions"]++
		}
		for kind := range map[string]bool{"blobs": true, "manifests": true} {
			if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/"+kind+"/") {
				r.gets[kind]++
			}
		}
		down, hold, user, word := r.down, r.hold, r.user, r.word
		r.mutex.Unlock()
		if u, p, _ := req.BasicAuth(); user != "" && (u != user || p != word) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if hold != nil && strings.Contains(req.URL.Path, "/blobs/sha256:") && req.Method == http.MethodGet {
			<-hold
		}
		if down {
			http.Error(w, "closed for the night", http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Close)
	r.host = strings.TrimPrefix(r.URL, "http://")
	place(t, "/etc/unitc/registries.conf.d/test.conf", fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", r.host))
	t.Cleanup(func() { os.Remove("/etc/unitc/registries.conf.d") })
	return r
}

// count gives the requests since the last call.
func (r *registry) count(kind string) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	n := r.gets[kind]
	r.gets[kind] = 0
	return n
}

// holdBlobs lets nobody have a blob until the function it gives is called.
func (r *registry) holdBlobs() (release func()) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	hold := make(chan struct{})
	r.hold = hold
	return sync.OnceFunc(func() { close(hold) })
}

// protect keeps it to one user from now on.
func (r *registry) protect(user, password string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.user, r.word = user, password
}

func (r *registry) close(down bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.down = down
}

// offer puts an image with the given configuration into the registry, and not
// into the store.
func (r *registry) offer(t *testing.T, name, config string) string {
	t.Helper()
	loadConfigured(t, "localhost/offered:1", config)
	must(t, "unitc", "push", "--quiet", "localhost/offered:1", r.host+"/"+name)
	must(t, "unitc", "rmi", "--force", "localhost/offered:1")
	must(t, "unitc", "prune")
	for _, kind := range []string{"blobs", "manifests", "questions"} {
		r.count(kind)
	}
	t.Cleanup(func() { command(t, "unitc", "rmi", "--force", r.host+"/"+name) })
	return r.host + "/" + name
}

func saying(words string) string {
	return fmt.Sprintf(`{"Cmd": ["/bin/sh", "-c", "echo %s; exec sleep 1000"]}`, words)
}

// Units fetch their images before they start: once for all of them, as often as
// the policy says, and a registry that is down stops nothing that is here.
//
//lab:once
func TestPullPolicies(t *testing.T) {
	cleanReload(t)
	r := startRegistry(t)
	name := r.offer(t, "app:1", saying("version one"))
	for unit, keys := range map[string]string{
		"missing1": "", "missing2": "", "always": "pull_policy: always\n", "weekly": "pull_policy: weekly\n", "never": "pull_policy: never\n",
		"foreign": "platform: linux/riscv64\npull_policy: never\n",
	} {
		place(t, definitions+unit+".yaml", "image: "+name+"\ninit: true\n"+keys)
	}
	reload(t)
	// Before anything is there, never means never.
	if _, status := command(t, "systemctl", "start", "never"); status == 0 || r.count("questions") > 0 {
		t.Error("pull_policy: never asked the registry")
	}
	if out, _ := command(t, "systemctl", "status", "never"); !strings.Contains(out, "drop `pull_policy: never`") {
		t.Errorf("systemctl status says:\n%s", out)
	}
	t.Cleanup(func() { must(t, "systemctl", "reset-failed") })
	t.Cleanup(func() { must(t, "systemctl", "stop", "missing1", "missing2", "always", "weekly", "never") })

	must(t, "systemctl", "start", "missing1", "missing2")
	awaitLine(t, "missing1", "version one")
	awaitLine(t, "missing2", "version one")
	if got := r.count("blobs"); got != 2 {
		t.Errorf("two containers made %d requests for the configuration and a layer", got)
	}
	r.count("questions")
	must(t, "systemctl", "start", "weekly", "never")
	if got := r.count("questions"); got != 0 {
		t.Errorf("what was fetched a moment ago was asked for %d times", got)
	}
	if _, status := command(t, "systemctl", "start", "foreign"); status == 0 {
		t.Error("an image of another platform was started")
	}
	if out, _ := command(t, "systemctl", "status", "foreign"); !strings.Contains(out, "platform: the image") {
		t.Errorf("systemctl status says:\n%s", out)
	}

	r.offer(t, "app:1", saying("version two"))
	must(t, "systemctl", "restart", "missing1")
	awaitLine(t, "missing1", "version one")
	must(t, "systemctl", "start", "always")
	awaitLine(t, "always", "version two")
	r.close(true)
	must(t, "systemctl", "restart", "always")
	awaitLine(t, "always", "version two")
	await(t, "the failed pull is listed", func() bool {
		return strings.Contains(must(t, "systemctl", "list-units", "--failed", "--plain", "--no-legend"), "unitc-image-always@")
	})
}

// The units that fetch images take a proxy from one drop-in, as unitc(1) has it.
//
//lab:once
func TestPullUnitsTakeAProxy(t *testing.T) {
	cleanReload(t)
	var mutex sync.Mutex
	asked := map[string]bool{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		asked[r.Method+" "+r.Host] = true
		mutex.Unlock()
		http.Error(w, "not today", http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	place(t, "/run/systemd/system/unitc-@.service.d/proxy.conf", "[Service]\nEnvironment=HTTPS_PROXY="+proxy.URL+"\n")
	t.Cleanup(func() { must(t, "rm", "-r", "/run/systemd/system/unitc-@.service.d") })
	units := map[string]string{
		"unitc-image@proxied.test-a:1.service": "image: proxied.test/a:1\n", "unitc-image-always@other.proxied.test-a:1.service": "image: other.proxied.test/a:1\npull_policy: always\n",
	}
	names := []string{}
	for unit, definition := range units {
		names = append(names, unit)
		place(t, fmt.Sprintf("%sproxied%d.yaml", definitions, len(names)), definition)
	}
	reload(t)
	t.Cleanup(func() { command(t, "systemctl", "reset-failed") })
	t.Cleanup(func() { must(t, "systemctl", append([]string{"stop"}, names...)...) })
	must(t, "systemctl", append([]string{"start", "--no-block"}, names...)...)
	await(t, "the proxy is asked by both", func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		return asked["CONNECT proxied.test:443"] && asked["CONNECT other.proxied.test:443"]
	})
}

// What a container with x-persist writes is there at its next start, and what
// another one writes is not.
//
//lab:once
func TestPersist(t *testing.T) {
	cleanReload(t)
	forgetVolumes(t)
	loadConfigured(t, "localhost/persist:1", `{"Cmd": ["/bin/sh", "-c", "ls /tmp; echo ready; echo $0 > /tmp/mine; exec sleep 1000"]}`)
	place(t, definitions+"keeps.yaml", "image: localhost/persist:1\ninit: true\nx-persist: true\n")
	place(t, definitions+"loses.yaml", "image: localhost/persist:1\ninit: true\n")
	reload(t)
	t.Cleanup(func() { must(t, "systemctl", "stop", "keeps", "loses") })
	for range 2 {
		must(t, "systemctl", "restart", "keeps", "loses")
		awaitLine(t, "keeps", "ready")
		awaitLine(t, "loses", "ready")
	}
	awaitLine(t, "keeps", "mine")
	if out := must(t, "journalctl", "-q", "-o", "cat", "-u", "loses"); strings.Contains(out, "mine") {
		t.Errorf("without x-persist something stayed:\n%s", out)
	}
	must(t, "systemctl", "stop", "keeps", "loses")
	if out := must(t, "unitc", "volume", "ls", "--quiet"); !strings.HasPrefix(out, "root-keeps-") || strings.Count(out, "\n") != 1 {
		t.Errorf("the kept directory is no volume: %s", out)
	}
}

// A pull that takes long is seen in systemctl status, and is not ended for
// taking long; the containers that want the image wait for one and the same.
func TestPullShowsInStatus(t *testing.T) {
	cleanReload(t)
	r := startRegistry(t)
	name := r.offer(t, "slow:1", saying("here at last"))
	for _, unit := range []string{"slow1", "slow2"} {
		place(t, definitions+unit+".yaml", "image: "+name+"\ninit: true\n")
	}
	reload(t)
	release := r.holdBlobs()
	t.Cleanup(func() { release(); command(t, "systemctl", "stop", "slow1", "slow2") })
	must(t, "systemctl", "start", "--no-block", "slow1", "slow2")
	pull := ""
	await(t, "a pull is under way", func() bool {
		pull = strings.TrimSpace(must(t, "systemctl", "list-units", "--plain", "--no-legend", "--state=activating", "unitc-image*"))
		return pull != ""
	})
	if strings.Count(pull, "unitc-image") < 1 || strings.Contains(pull, "\n") {
		t.Errorf("pulls under way:\n%s", pull)
	}
	unit := strings.Fields(pull)[0]
	await(t, "its status tells what it does", func() bool { return strings.Contains(property(t, unit, "StatusText"), name) })
	if out, _ := command(t, "systemctl", "status", unit); !strings.Contains(out, "Status: \"") || !strings.Contains(out, name) {
		t.Errorf("systemctl status says:\n%s", out)
	}
	for _, unit := range []string{"slow1", "slow2"} {
		if state := property(t, unit, "ActiveState"); state != "inactive" {
			t.Errorf("%s is %s while its image is fetched", unit, state)
		}
	}
	release()
	awaitLine(t, "slow1", "here at last")
	awaitLine(t, "slow2", "here at last")
	if got := r.count("blobs"); got != 2 {
		t.Errorf("two containers made %d requests for the configuration and a layer", got)
	}
}
