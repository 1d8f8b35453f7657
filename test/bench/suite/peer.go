// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Where things are in the machine.
const (
	root     = "/srv/bench/root" // the root file system that all share
	scratch  = "/run/bench"      // on a tmpfs
	stamps   = scratch + "/out"  // what payloads write; /out inside
	payload  = "/root/bench/payload"
	floor    = "/root/bench/floor"
	unitDir  = "/run/systemd/system/"
	quadlets = "/etc/containers/systemd/"
	ours     = "/etc/unitc/"
	image    = "localhost/bench:1"
)

// peer is one way to run the payload as a unit. What it writes has `@` in the
// unit's name: instances make many of it, `1` is the one that is started alone.
// Of unitc each has a definition of its own, as its users write them.
type peer struct {
	name string
	// unit is the text of the unit file, template or definition; %i is the instance.
	unit string
	// file is where it goes.
	file string
	// needs is a program without which the peer is left out.
	needs string
	// many is false for what is only measured alone, to keep runs short.
	many bool
	// named is how many files with the instance in place of the `@` there are;
	// 0 = it is a template.
	named   int
	command string // the last that was written
	// enabled: a target that is there wants the unit `1`, so that systemd has it
	// loaded before each start and after each stop, as it has our containers.
	enabled bool
	// mate: a second one runs meanwhile.
	mate bool
}

func (p *peer) service(instance string) string {
	if p.named > 0 {
		return p.name + "-" + instance + ".service"
	}
	return p.name + "@" + instance + ".service"
}

func service(lines ...string) string {
	return "[Unit]\nCollectMode=inactive-or-failed\nStartLimitIntervalSec=0\n[Service]\nLogRateLimitIntervalSec=0\n" + strings.Join(lines, "\n") + "\n"
}

// The names of peers are those of the tables.
func allPeers() []*peer {
	plain := func(name string, many bool, needs string, lines ...string) *peer {
		return &peer{name: name, unit: service(append([]string{"Type=exec"}, lines...)...), file: unitDir + name + "@.service", needs: needs, many: many}
	}
	helper := func(name, flags string, lines ...string) *peer {
		p := plain(name, true, floor, append(lines, "NotifyAccess=all",
			"ExecStart="+floor+" "+flags+name+"@%i "+root+" "+scratch+"/floor "+stamps+" /bin/payload @COMMAND@")...)
		p.unit = strings.Replace(p.unit, "Type=exec", "Type=notify", 1)
		return p
	}
	enabled := plain("plain-enabled", false, payload, "ExecStart="+payload+" @COMMAND@")
	enabled.enabled = true
	joined := definition("unitc-bridge-joined", false, "network_mode: bridge\nports: ['127.0.0.1:1809%i:80']\n")
	joined.mate, joined.named = true, 2
	peers := []*peer{
		plain("plain", true, payload, "ExecStart="+payload+" @COMMAND@"),
		enabled,
		helper("floor", ""),
		helper("floor-scope", "-scope "),
		definition("unitc", true, ""),
		definition("unitc-service", true, "systemd: {cgroup: service, unit: {StartLimitIntervalSec: 0}, service: {LogRateLimitIntervalSec: 0}}\n"),
		definition("unitc-direct", false, "logging: {driver: direct}\n"),
		definition("unitc-restart", false, "restart: always\n"),
		definition("unitc-hostids", false, "userns_mode: host\n"),
		definition("unitc-bridge", false, "network_mode: bridge\nports: ['127.0.0.1:18080:80']\n"),
		joined,
		definition("unitc-from-image", true, "image: "+image+"\n"),
		plain("crun", true, "/usr/bin/crun", "Delegate=yes", "ExecStart=/usr/bin/crun --cgroup-manager=disabled run -b "+scratch+"/bundle/%i crun-%i"),
		plain("bubblewrap", false, "/usr/bin/bwrap", "ExecStart=/usr/bin/bwrap --unshare-all --die-with-parent --cap-drop ALL --bind "+root+" / --proc /proc --dev /dev --tmpfs /tmp --bind "+stamps+" /out /bin/payload @COMMAND@"),
		plain("sandbox", false, payload, "RootDirectory="+root, "MountAPIVFS=yes", "BindPaths="+stamps+":/out", "PrivateNetwork=yes", "PrivateUsers=yes", "PrivateTmp=yes",
			"PrivateDevices=yes", "PrivateIPC=yes", "ProtectHostname=yes", "ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectControlGroups=yes",
			"ProtectClock=yes", "RestrictNamespaces=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "SystemCallFilter=@system-service", "ExecStart=/bin/payload @COMMAND@"),
		plain("nspawn", false, // it locks its directory: no two at once
			"/usr/bin/systemd-nspawn", "Delegate=yes", "ExecStart=/usr/bin/systemd-nspawn -q --keep-unit --register=no --private-network --private-users=pick --private-users-ownership=map -D "+root+" --machine=b%i --volatile=no --bind="+stamps+":/out:idmap /bin/payload @COMMAND@"),
		quadlet("quadlet", true, "Network=none\n"),
		quadlet("quadlet-bridge", false, "PublishPort=127.0.0.1:18081:80\n"),
	}
	return peers
}

func definition(name string, many bool, extra string) *peer {
	text := "command: [/bin/payload, @COMMAND@]\nvolumes: ['" + stamps + ":/out']\n"
	if !strings.Contains(extra, "image:") {
		text += "rootfs: " + root + "\n"
	}
	if !strings.Contains(extra, "network_mode:") {
		text += "network_mode: none\n"
	}
	if !strings.Contains(extra, "systemd:") {
		text += "systemd: {unit: {StartLimitIntervalSec: 0}, service: {LogRateLimitIntervalSec: 0}}\n"
	}
	return &peer{name: name, unit: text + extra, file: ours + name + "@.yaml", needs: "/usr/local/bin/unitc", many: many, named: 1}
}

func quadlet(name string, many bool, extra string) *peer {
	return &peer{name: name, needs: "/usr/bin/podman", many: many, file: quadlets + name + "@.container",
		unit: "[Container]\nImage=" + image + "\nContainerName=" + name + "-%i\nVolume=" + stamps + ":/out\nExec=/bin/payload @COMMAND@\n" + extra +
			"[Service]\nLogRateLimitIntervalSec=0\n"}
}

// write installs the peer's template with a command; where `/out` is not the
// payload's name of the directory, the host's is put in.
func (p *peer) write(command string) error {
	p.command = command
	if strings.HasPrefix(p.unit, "command:") {
		command = strings.Join(strings.Fields(command), ", ")
	}
	if strings.HasPrefix(p.name, "plain") {
		command = strings.ReplaceAll(command, "/out/", stamps+"/")
	}
	if err := os.MkdirAll(filepath.Dir(p.file), 0o755); err != nil {
		return err
	}
	if p.name == "crun" {
		if err := bundles(command); err != nil {
			return err
		}
	}
	if p.enabled {
		wants := unitDir + "multi-user.target.wants/"
		err := os.MkdirAll(wants, 0o755)
		if err == nil {
			err = os.Symlink(p.file, wants+p.service("1"))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	text := strings.ReplaceAll(p.unit, "@COMMAND@", command)
	if p.named == 0 {
		return os.WriteFile(p.file, []byte(text), 0o644)
	}
	for i := 1; i <= p.named; i++ {
		file, text := strings.Replace(p.file, "@", fmt.Sprint("-", i), 1), strings.ReplaceAll(text, "%i", fmt.Sprint(i))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// have makes sure that there are n units of each peer.
func (b *bench) have(peers []*peer, n int) error {
	more := false
	for _, p := range peers {
		if p.named > 0 && p.named < n {
			p.named, more = n, true
			if err := p.write(p.command); err != nil {
				return err
			}
		}
	}
	if !more {
		return nil
	}
	return systemctl("daemon-reload")
}

// prepare lays out what all have, and every peer's unit.
func (b *bench) prepare() error {
	if err := layOut(); err != nil {
		return err
	}
	for _, p := range allPeers() {
		if !b.wantPeer.MatchString(p.name) {
			continue
		}
		if _, err := os.Stat(p.needs); err != nil {
			fmt.Fprintf(os.Stderr, "left out: %s: %v\n", p.name, err)
			continue
		}
		b.peers = append(b.peers, p)
	}
	if err := b.command("stamp /out/%p-%i"); err != nil {
		return err
	}
	return b.usable()
}

// layOut makes the root file system and the image.
func layOut() error {
	for _, dir := range []string{"bin", "dev", "etc", "out", "proc", "root", "run", "sys", "tmp", "usr", "var"} {
		if err := os.MkdirAll(root+"/"+dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(scratch+"/floor", 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(stamps, 0o777); err != nil {
		return err
	}
	script := `set -e
chmod 777 ` + stamps + `
cp ` + payload + ` ` + root + `/bin/payload
echo root:x:0:0::/root:/bin/payload >` + root + `/etc/passwd
mkdir -p /run/systemd/journald.conf.d /etc/containers
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nRuntimeMaxUse=1G\n' >/run/systemd/journald.conf.d/bench.conf
systemctl restart systemd-journald
tar -C ` + root + ` -c . >` + scratch + `/rootfs.tar
if command -v podman >/dev/null; then
	printf '[containers]\npids_limit = 0\n[engine]\nevents_logger = "journald"\n' >/etc/containers/containers.conf
	echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
	podman import -q ` + scratch + `/rootfs.tar ` + image + ` >&2
fi
unitc load -q --rootfs --name ` + image + ` ` + scratch + `/rootfs.tar >&2`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("preparing the machine: %w\n%s", err, out)
	}
	return nil
}

// command gives all peers a command and has systemd read their units.
func (b *bench) command(text string) error {
	for _, p := range b.peers {
		if err := p.write(strings.ReplaceAll(text, "%p", p.name)); err != nil {
			return err
		}
	}
	return systemctl("daemon-reload")
}

// usable leaves out, aloud, what does not start here.
func (b *bench) usable() error {
	var good []*peer
	for _, p := range b.peers {
		if _, err := b.start(p, "1"); err != nil {
			out, _ := exec.Command("journalctl", "-q", "-n", "8", "-o", "cat", "-u", p.service("1")).Output()
			fmt.Fprintf(os.Stderr, "left out: %s: %v\n%s", p.name, err, out)
			exec.Command("systemctl", "stop", p.service("1")).Run()
			continue
		}
		if err := systemctl("stop", p.service("1")); err != nil {
			return err
		}
		good = append(good, p)
	}
	b.peers = good
	return nil
}

// bundles makes OCI bundles 1 to 100 for crun and runc.
func bundles(command string) error {
	for i := 1; i <= 100; i++ {
		dir := fmt.Sprintf("%s/bundle/%d", scratch, i)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		text, err := bundle(strings.Fields(strings.ReplaceAll(command, "%i", fmt.Sprint(i))))
		if err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/config.json", text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bundle is what `crun spec` writes, with our root, payload and volume.
func bundle(command []string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "spec")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	spec := exec.Command("crun", "spec")
	spec.Dir = dir
	if out, err := spec.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("crun spec: %w\n%s", err, out)
	}
	text, err := os.ReadFile(dir + "/config.json")
	if err != nil {
		return nil, err
	}
	var config map[string]any
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&config); err != nil {
		return nil, err
	}
	process := config["process"].(map[string]any)
	process["terminal"], process["args"] = false, append([]string{"/bin/payload"}, command...)
	config["root"] = map[string]any{"path": root}
	config["mounts"] = append(config["mounts"].([]any), map[string]any{"destination": "/out", "source": stamps, "type": "bind", "options": []string{"bind"}})
	return json.Marshal(config)
}
