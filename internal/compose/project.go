// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

// topKeys are the keys of a whole compose file.
var topKeys = []field{
	{name: "configs", shape: &shape{kinds: null | mapping, name: &plainNameFormat, open: &configShape}, example: "{site.conf: {file: ./site.conf}}",
		doc: "Configuration files that services mount."},
	{name: "include", shape: &includeShape, example: "[./db/compose.yaml]",
		doc: "Compose files whose services, networks, volumes, secrets and configs are the project's too, and may be changed here; keep them out of the search path, or they are definitions of their own."},
	{name: "models", shape: &anyShape, refused: "run the model as a service of its own"},
	{name: "name", shape: &shape{kinds: text, format: &projectNameFormat}, example: "blog",
		doc: "What unitc up calls the project of a compose.yaml; in the search path a project is named by its file."},
	{name: "networks", shape: &shape{kinds: null | mapping, name: &plainNameFormat, open: &networkShape}, example: "{front: {}}",
		doc: "Networks that services join."},
	{name: "secrets", shape: &shape{kinds: null | mapping, name: &plainNameFormat, open: &secretShape}, example: "{token: {file: ./token}}",
		doc: "Secrets that services mount."},
	{name: "services", shape: &shape{kinds: mapping, name: &serviceNameFormat, open: &serviceShape}, example: "{web: {image: nginx}}",
		doc: "The services, each with the keys of a definition."},
	{name: "version", shape: &shape{kinds: number | text}, example: "\"3.9\"",
		doc: "Accepted and ignored, as in Compose."},
	{name: "volumes", shape: &shape{kinds: null | mapping, name: &plainNameFormat, open: &volumeShape}, example: "{data: {}}",
		doc: "Volumes that services mount."},
	{name: directoryKey, shape: &directoryShape, example: "/srv/blog",
		doc: "Where relative paths begin; the definition's own directory if left out. Also at the top of a definition without services."},
}

// directoryKey is read as it is: a path may have a $.
const directoryKey = "x-directory"

// Directory is the line that has a definition's relative paths begin in dir.
func Directory(dir string) string { return directoryKey + ": " + strconv.Quote(dir) }

var directoryShape = shape{kinds: text, format: &directoryFormat}

var directoryFormat = format{
	name:    "directory",
	pattern: `^/.*$`,
	check: func(s string) (string, string) {
		if s == "" || s[0] != '/' || strings.IndexByte(s, 0) >= 0 || len(s) >= maxPath {
			return quote(s) + " is no absolute path", "write for example /srv/blog"
		}
		return "", ""
	},
}

var projectShape = shape{kinds: mapping, keys: topKeys}

var projectNameFormat = format{
	name:    "project",
	empty:   true,
	pattern: `^[a-z0-9][a-z0-9_-]*$`,
	check: func(s string) (string, string) {
		if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" || s[0] == '-' || s[0] == '_' {
			return quote(s) + " is no name of a project", "use small letters, digits, - and _"
		}
		return "", ""
	},
}

// serviceNameFormat is Compose's; all its characters may stand in a unit's name.
var serviceNameFormat = format{
	name:    "service",
	pattern: `^[a-zA-Z0-9._-]+$`,
	check: func(s string) (string, string) {
		if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			return quote(s) + " is no name of a service", "use letters, digits, . _ and -"
		}
		return "", ""
	},
}

// external is `external: true`, or the older form with a name.
var externalShape = shape{kinds: boolean | mapping, keys: []field{
	{name: "name", shape: &shape{kinds: text, format: &plainNameFormat}, example: "front", doc: "The name by which it exists."},
}}

var driverOptions = shape{kinds: mapping, open: &shape{kinds: boolean | number | text}}

var networkShape = shape{kinds: null | mapping, keys: []field{
	{name: "attachable", shape: &boolShape, example: "true", doc: "Swarm's; accepted and ignored."},
	{name: "driver", shape: &shape{kinds: text, format: &networkDriverFormat}, example: "bridge", doc: "The kind of network."},
	{name: "driver_opts", shape: &driverOptions, example: "{mtu: 1400}", doc: "Options of the driver."},
	{name: "enable_ipv4", shape: &boolShape, example: "true", doc: "Whether there are IPv4 addresses."},
	{name: "enable_ipv6", shape: &boolShape, example: "true", doc: "Whether there are IPv6 addresses."},
	{name: "external", shape: &externalShape, example: "true", doc: "The network exists already."},
	{name: "internal", shape: &boolShape, example: "true", doc: "No way out of the host."},
	{name: "ipam", shape: &shape{kinds: mapping, keys: []field{
		{name: "config", shape: &shape{kinds: list, merge: mergeSubnets, item: &subnetShape}, example: "[{subnet: 192.0.2.0/24}]", doc: "Address ranges."},
		{name: "driver", shape: &shape{kinds: text, words: []string{"default"}}, example: "default", doc: "Who gives out addresses."},
		{name: "options", shape: &shape{kinds: mapping, open: &stringShape}, example: "{foo: bar}", doc: "Options of that; ignored with a warning."},
	}}, example: "{config: [{subnet: 192.0.2.0/24}]}", doc: "Which addresses are given out."},
	{name: "labels", shape: &pairsShape, example: "{tier: front}", doc: "Notes."},
	{name: "name", shape: &shape{kinds: text, format: &plainNameFormat}, example: "front", doc: "The network's name; PROJECT_KEY if left out."},
}}

// networkDriverFormat: what is wrong with others is told with all that is wrong of a network.
var networkDriverFormat = format{name: "network-driver", pattern: `^(bridge|macvlan|ipvlan)$`, check: plainNameFormat.check}

var subnetShape = shape{kinds: mapping, keys: []field{
	{name: "aux_addresses", shape: &shape{kinds: mapping, open: &shape{kinds: text, format: &addressFormat}}, example: "{router: 192.0.2.9}", doc: "Addresses that are taken."},
	{name: "gateway", shape: &shape{kinds: text, format: &addressFormat}, example: "192.0.2.1", doc: "The bridge's own address."},
	{name: "ip_range", shape: &shape{kinds: text, format: &subnetFormat}, example: "192.0.2.128/25", doc: "The part from which addresses are given out."},
	{name: "subnet", shape: &shape{kinds: text, format: &subnetFormat}, example: "192.0.2.0/24", doc: "The range of the network."},
}}

var volumeShape = shape{kinds: null | mapping, keys: []field{
	{name: "driver", shape: &shape{kinds: text, format: &volumeDriverFormat}, example: "local", doc: "local is the only kind."},
	{name: "driver_opts", shape: &shape{kinds: null | mapping, keys: []field{
		{name: "device", shape: &shape{kinds: boolean | number | text}, example: "/srv/data", doc: "What is mounted."},
		{name: "o", shape: &shape{kinds: boolean | number | text}, example: "bind", doc: "Options of the mount, as for mount(8)."},
		{name: "size", shape: &shape{kinds: number | text, format: &bytesFormat}, example: "10g", doc: "The most that the volume holds, in bytes with b, k, m or g: a project quota of the file system of /var/lib/unitc; 0 for no limit."},
		{name: "type", shape: &shape{kinds: boolean | number | text}, example: "none", doc: "The kind of file system; none is a bind mount."},
	}}, example: "{type: none, o: bind, device: /srv/data}", doc: "A file system of its own for the volume, or a directory of the host."},
	{name: "external", shape: &externalShape, example: "true", doc: "The volume exists already."},
	{name: "labels", shape: &pairsShape, example: "{tier: data}", doc: "Notes."},
	{name: "name", shape: &shape{kinds: text, format: &plainNameFormat}, example: "data", doc: "The volume's name; PROJECT_KEY if left out."},
}}

var secretShape = shape{kinds: mapping, keys: []field{
	{name: "driver", shape: &stringShape, refused: "write file: or environment:"},
	{name: "driver_opts", shape: &driverOptions, refused: "write file: or environment:"},
	{name: "encrypted", shape: &shape{kinds: text, format: &encryptedFormat}, example: "./token.cred", doc: "What systemd-creds encrypt has made, as text or as a path; systemd decrypts it at start."},
	{name: "environment", shape: &shape{kinds: text, format: &envNameFormat}, example: "TOKEN", doc: "A variable of NAME.env or .env that holds the secret."},
	{name: "external", shape: &externalShape, example: "true", doc: "A credential that the system has already."},
	{name: "file", shape: &hostPathShape, example: "./token", doc: "A file that holds the secret."},
	{name: "labels", shape: &pairsShape, example: "{tier: front}", doc: "Notes."},
	{name: "name", shape: &shape{kinds: text, format: &plainNameFormat}, example: "token", doc: "The secret's name; PROJECT_KEY if left out."},
	{name: "template_driver", shape: &stringShape, refused: "write file: or environment:"},
}}

var configShape = shape{kinds: mapping, keys: []field{
	{name: "content", shape: &stringShape, example: "listen 80", doc: "The content itself."},
	{name: "environment", shape: &shape{kinds: text, format: &envNameFormat}, example: "SITE_CONF", doc: "A variable of NAME.env or .env that holds the content."},
	{name: "external", shape: &externalShape, example: "true", doc: "A file that the system has already."},
	{name: "file", shape: &hostPathShape, example: "./site.conf", doc: "A file that holds the content."},
	{name: "labels", shape: &pairsShape, example: "{tier: front}", doc: "Notes."},
	{name: "name", shape: &shape{kinds: text, format: &plainNameFormat}, example: "site.conf", doc: "The name; PROJECT_KEY if left out."},
	{name: "template_driver", shape: &stringShape, refused: "write file: or content:"},
}}

// encryptedFormat: systemd-creds(1) writes base64, in lines.
var encryptedFormat = format{
	name:    "encrypted",
	pattern: `^(\.{0,2}/.*[^/.].*|[A-Za-z0-9+/=\s]{16,})$`,
	check: func(s string) (string, string) {
		relative := strings.TrimPrefix(strings.TrimPrefix(s, "."), ".")
		isPath := strings.HasPrefix(relative, "/") && strings.Trim(relative, "/.") != "" && !strings.Contains(s, "\n")
		isText := len(s) >= 16 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n") == ""
		if !isPath && !isText {
			// Perhaps it is the secret itself: it is not repeated.
			return "this is no encrypted credential", "write ./FILE, or the text that `systemd-creds encrypt` prints"
		}
		return "", ""
	},
}

// eachDeclared walks a top-level mapping: its shape was checked, and what is
// wrong in it is left out.
func (r *reader) eachDeclared(kind string, do func(p *pair, at definition.Position)) {
	n := r.root.get(kind)
	if n == nil || n.kind != mapping {
		return
	}
	for i := range n.pairs {
		if p := &n.pairs[i]; !p.value.bad {
			do(p, r.position(p.place))
		}
	}
}

func isExternal(n *node) bool {
	external := n.get("external")
	return external != nil && (external.kind == mapping || external.truth())
}

// readProject fills in what services share.
func (r *reader) readProject(file *definition.File) {
	r.eachDeclared("networks", func(p *pair, at definition.Position) {
		r.checkExternal(p.value)
		n := r.network(p, at)
		r.checkNetwork(p, &n)
		file.Networks = append(file.Networks, n)
	})
	r.eachDeclared("volumes", func(p *pair, at definition.Position) {
		r.checkExternal(p.value)
		v := r.namedVolume(p, at)
		r.checkVolume(p.value, &v)
		file.Volumes = append(file.Volumes, v)
	})
	r.eachDeclared("secrets", func(p *pair, at definition.Position) {
		file.Secrets = append(file.Secrets, r.material(p, at))
	})
	r.eachDeclared("configs", func(p *pair, at definition.Position) {
		file.Configs = append(file.Configs, r.material(p, at))
	})
}

func (r *reader) namedVolume(p *pair, at definition.Position) definition.NamedVolume {
	v := definition.NamedVolume{Key: p.key, Name: r.ownName(p.value, p.key), Source: at, External: isExternal(p.value), Driver: p.value.get("driver").str()}
	if v.Driver == "local" {
		v.Driver = ""
	}
	v.Options, v.Labels = r.optionalPairs(p.value.get("driver_opts")), r.optionalPairs(p.value.get("labels"))
	for i, o := range v.Options {
		if n, ok := ParseBytes(o.Value); o.Key == "size" && ok {
			v.Options[i].Value = strconv.FormatInt(n, 10) // so that 1g and 1024m are the same
		}
	}
	// As with Docker empty ones are none: files have ${VAR:-} there.
	if !slices.ContainsFunc(v.Options, func(o definition.KeyValue) bool { return o.Value != "" }) {
		v.Options = nil
	}
	return v
}

var volumeDriverFormat = format{
	name:    "volume-driver",
	pattern: `^(local)?$`,
	check: func(s string) (string, string) {
		if s == "" || s == "local" {
			return "", ""
		}
		return unsupported + "the volume driver " + quote(s), "write driver: local, with driver_opts: for a file system of its own"
	},
}

// checkVolume finds what no mount can be made of.
func (r *reader) checkVolume(n *node, v *definition.NamedVolume) {
	options := n.get("driver_opts")
	if options == nil || len(options.pairs) == 0 {
		return
	}
	kind, device, size := v.Option("type"), v.Option("device"), v.Option("size")
	switch {
	case kind+device+size+v.Option("o") == "":
	case size != "" && kind+device+v.Option("o") != "":
		r.fault(options, "write o: size=… for a tmpfs, or remove size:", "size: beside type:, device: or o:: what is mounted there has a size of its own")
	case size != "" && tooSmall(size):
		r.fault(options, "write a number with k, m or g, as in 512m", "a volume of %s bytes", size)
	case size != "", kind == "tmpfs", v.BindSource() != "":
	case kind == "" && device == "":
		r.fault(options, "write for example {type: nfs, device: \":/export\", o: \"addr=192.0.2.1\"}", "the options name no file system")
	case kind == "" || kind == "none" || kind == "bind":
		r.fault(options, "write device: with the absolute path of a directory", "a bind without an absolute path")
	case device == "":
		r.fault(options, "add device:", "a file system of type %s without a device", quote(kind))
	}
}

// tooSmall: less than the store makes.
func tooSmall(size string) bool {
	n, _ := ParseBytes(size)
	return n > 0 && n < 64<<10
}

// optionalPairs is keyValues of a key that may be missing.
func (r *reader) optionalPairs(n *node) []definition.KeyValue {
	if n.isNull() {
		return nil
	}
	return r.keyValues(n)
}

// checkExternal: what exists already is not described here.
func (r *reader) checkExternal(n *node) {
	if !isExternal(n) {
		return
	}
	external := findPair(n, "external").place
	n.pairs = slices.DeleteFunc(n.pairs, func(p pair) bool {
		if p.key == "external" || p.key == "name" || strings.HasPrefix(p.key, "x-") {
			return false
		}
		if p.place.layer < external.layer {
			// Of a file that makes it, which another one says is there already.
			r.report(diag.Warning, p.place, join(r.pathOf(n), p.key), "nothing is to be done", "it changes nothing: by external: at %s it exists already", r.where(p.place, external))
			return true
		}
		r.faultKey(n, &p, "remove it, or remove external:", "conflicts with external: at %s: it exists already", r.where(p.place, external)).Rule = diag.RuleConflict
		return false
	})
}

func (r *reader) network(p *pair, at definition.Position) definition.Network {
	n := p.value
	net := definition.Network{Key: p.key, Name: r.ownName(n, p.key), Source: at, External: isExternal(n), Driver: n.get("driver").str()}
	if net.Driver == "bridge" {
		net.Driver = ""
	}
	net.Options, net.Labels = r.optionalPairs(n.get("driver_opts")), r.optionalPairs(n.get("labels"))
	if internal := n.get("internal"); internal != nil {
		net.Internal = internal.truth()
	}
	// Docker takes these two as options of the driver, too; the keys win.
	net.NoIPv4 = !takeSwitch(&net, "com.docker.network.enable_ipv4", true)
	net.IPv6 = takeSwitch(&net, "com.docker.network.enable_ipv6", false)
	if v4 := n.get("enable_ipv4"); v4 != nil {
		net.NoIPv4 = !v4.truth()
	}
	if v6 := n.get("enable_ipv6"); v6 != nil {
		net.IPv6 = v6.truth()
	}
	if config := n.get("ipam").get("config"); config != nil {
		for _, item := range config.items {
			net.Subnets = append(net.Subnets, definition.Subnet{
				Subnet: item.get("subnet").str(), Range: item.get("ip_range").str(), Gateway: item.get("gateway").str(),
				AuxAddresses: r.optionalPairs(item.get("aux_addresses")),
			})
		}
	}
	return net
}

// takeSwitch takes an option that is true or false away from a network's; any other
// value stays, and is told as an option that there is not.
func takeSwitch(net *definition.Network, name string, usual bool) bool {
	for i, o := range net.Options {
		if on, err := strconv.ParseBool(o.Value); o.Key == name && err == nil {
			net.Options = slices.Delete(net.Options, i, i+1)
			return on
		}
	}
	return usual
}

// material reads a secret or config, which comes from exactly one place.
func (r *reader) material(p *pair, at definition.Position) definition.Material {
	n := p.value
	m := definition.Material{Key: p.key, Name: r.ownName(n, p.key), Source: at, External: isExternal(n), Environment: n.get("environment").str()}
	m.Labels = r.optionalPairs(n.get("labels"))
	if file := n.get("file"); file != nil {
		m.File = r.hostPath(file, file.str())
	}
	if encrypted := n.get("encrypted"); encrypted != nil {
		if m.Encrypted = encrypted.str(); strings.ContainsAny(m.Encrypted[:min(len(m.Encrypted), 1)], "./") {
			m.Encrypted = r.hostPath(encrypted, m.Encrypted)
		} else {
			m.Encrypted = strings.Join(strings.Fields(m.Encrypted), "") // base64, of any line length
		}
	}
	if content := n.get("content"); content != nil {
		text := content.str()
		m.Content = &text
	}
	var given []*pair
	for _, key := range []string{"file", "environment", "content", "encrypted"} {
		if source := findPair(n, key); source != nil {
			given = append(given, source)
		}
	}
	if m.External {
		given = append(given, findPair(n, "external"))
	}
	switch {
	case len(given) == 0:
		r.fault(n, "write file: or environment:", "%s comes from nowhere", p.key).Rule = diag.RuleConflict
	case len(given) > 1:
		r.faultKey(n, given[1], "keep one of the two", "conflicts with %s at %s: it can come from one place only", given[0].key, r.where(given[1].place, given[0].place)).Rule = diag.RuleConflict
	}
	return m
}
