// SPDX-License-Identifier: Apache-2.0

package compose

// laterKeys are Compose's keys whose machinery is not there yet (pending: the
// definition is checked, the start is refused) or never will be (refused).
var laterKeys = []field{
	{name: "attach", shape: &boolShape, example: "true",
		doc: "Accepted and ignored: it concerns the terminal of docker compose up."},
	{name: "build", shape: &shape{kinds: text | mapping, open: &anyShape}, example: ".",
		doc: "How to build the image.", pending: "building images"},
	{name: "cgroup_parent", shape: &stringShape, refused: "write systemd: slice:"},
	{name: "configs", shape: &grantsShape, example: "[site.conf]",
		doc: "Configuration files to mount.", pending: "configs"},
	{name: "container_name", shape: &shape{kinds: text, format: &plainNameFormat}, example: "web",
		doc: "Accepted and ignored: a container is named by its unit."},
	{name: "cpu_count", shape: &intShape, refused: "write cpus: (cpu_count is Windows')"},
	{name: "cpu_percent", shape: &intShape, refused: "write cpus: (cpu_percent is Windows')"},
	{name: "cpu_rt_period", shape: &shape{kinds: number | text}, refused: "remove it; cgroup v2 has no real-time groups"},
	{name: "cpu_rt_runtime", shape: &shape{kinds: number | text}, refused: "remove it; cgroup v2 has no real-time groups"},
	{name: "credential_spec", shape: &anyShape, refused: "remove it; it is for Windows containers"},
	{name: "depends_on", shape: &dependsShape, example: "[db]",
		doc: "The services that are started before this one.", pending: "depends_on"},
	{name: "deploy", shape: &shape{kinds: null | mapping, open: &anyShape}, example: "{replicas: 2}",
		doc: "Replicas, limits and restart policy in Swarm's words.", pending: "deploy"},
	{name: "develop", shape: &shape{kinds: null | mapping, open: &anyShape}, example: "{watch: []}",
		doc: "Accepted and ignored: it concerns docker compose watch."},
	{name: "dns", shape: &oneOrMany, example: "192.0.2.53",
		doc: "The name servers to ask.", pending: "networks"},
	{name: "dns_opt", shape: &uniqueShape, example: "[ndots:1]",
		doc: "Options of the resolver.", pending: "networks"},
	{name: "dns_search", shape: &oneOrMany, example: "example.org",
		doc: "The domains in which names are looked up.", pending: "networks"},
	{name: "expose", shape: &shape{kinds: list, item: &shape{kinds: integer | text}, unique: true}, example: "[8080]",
		doc: "Accepted and ignored: services of a network reach each other on every port."},
	{name: "extends", shape: &shape{kinds: text | mapping, open: &stringShape}, example: "base",
		doc: "Another service, here or in another file, that this one is made from.", pending: "extends"},
	{name: "external_links", shape: &uniqueShape, refused: "put both services on one of networks:"},
	{name: "extra_hosts", shape: &pairsShape, example: "{db: 192.0.2.7}",
		doc: "Further names for /etc/hosts.", pending: "networks"},
	{name: "gpus", shape: &shape{kinds: text | list, item: &anyShape}, example: "all",
		doc: "The graphics processors to pass in.", pending: "gpus"},
	{name: "healthcheck", shape: &healthShape, example: "{test: [CMD, /healthy]}",
		doc: "How to find out whether the payload is well.", pending: "health checks"},
	{name: "isolation", shape: &stringShape, refused: "remove it; it is for Windows containers"},
	{name: "label_file", shape: &oneOrMany, example: "/etc/web/labels",
		doc: "Files of KEY=value lines that are added to the labels.", pending: "label_file"},
	{name: "links", shape: &uniqueShape, example: "[db]",
		doc: "Further names for services of the same network.", pending: "networks"},
	{name: "mac_address", shape: &stringShape, example: "02:42:ac:11:65:43",
		doc: "The MAC address on the first network.", pending: "networks"},
	{name: "models", shape: &shape{kinds: list | mapping, item: &stringShape, open: &anyShape}, refused: "run the model as a service of its own"},
	{name: "networks", shape: &shape{kinds: list | mapping, item: &stringShape, open: &anyShape}, example: "[front]",
		doc: "The networks to join.", pending: "networks"},
	{name: "platform", shape: &stringShape, example: "linux/amd64",
		doc: "The platform of the image.", pending: "images"},
	{name: "ports", shape: &shape{kinds: list, item: &shape{kinds: integer | text | mapping, open: &anyShape}}, example: "[\"8080:80\"]",
		doc: "Ports of the host that lead into the container.", pending: "networks"},
	{name: "post_start", shape: &hooksShape, example: "[{command: /prepare}]",
		doc: "Commands to run in the container after it has started.", pending: "post_start"},
	{name: "pre_stop", shape: &hooksShape, example: "[{command: /drain}]",
		doc: "Commands to run in the container before it is stopped.", pending: "pre_stop"},
	{name: "profiles", shape: &uniqueShape, example: "[debug]",
		doc: "The profiles in which the service is started.", pending: "profiles"},
	{name: "provider", shape: &anyShape, refused: "run what the provider runs as a service of its own"},
	{name: "pull_policy", shape: &stringShape, example: "missing",
		doc: "When the image is fetched.", pending: "images"},
	{name: "pull_refresh_after", shape: &stringShape, example: "24h",
		doc: "When a present image is looked up again.", pending: "images"},
	{name: "scale", shape: &intShape, example: "2",
		doc: "The number of instances.", pending: "scale"},
	{name: "secrets", shape: &grantsShape, example: "[token]",
		doc: "Secrets to mount.", pending: "secrets"},
	{name: "storage_opt", shape: &shape{kinds: mapping, open: &valueShape}, refused: "set a quota on the file system of the image store"},
	{name: "use_api_socket", shape: &boolShape, refused: "mount the socket of the engine that is meant under volumes:"},
	{name: "volumes_from", shape: &uniqueShape, refused: "name the volumes themselves under volumes:"},
}

// anyShape takes whatever stands there.
var anyShape = shape{kinds: scalar | list | mapping}

func init() {
	// The shape of "anything" holds itself.
	anyShape.item, anyShape.open = &anyShape, &anyShape
}

var plainNameFormat = format{
	name:    "name",
	pattern: `^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`,
	check: func(s string) (string, string) {
		if !isPlainName(s) {
			return quote(s) + " is no name", "use letters, digits, _ . and -"
		}
		return "", ""
	},
}

var grantsShape = shape{kinds: list, item: &shape{kinds: text | mapping, keys: []field{
	{name: "gid", shape: &nameShape, example: "\"1000\"", doc: "The group that owns the file."},
	{name: "mode", shape: &shape{kinds: number | text, format: &modeFormat}, example: "0o440", doc: "The file's permissions, in octal."},
	{name: "source", shape: &stringShape, example: "token", doc: "The name under secrets: or configs:."},
	{name: "target", shape: &stringShape, example: "/run/secrets/token", doc: "The file in the container."},
	{name: "uid", shape: &nameShape, example: "\"1000\"", doc: "The user that owns the file."},
}}}

var dependsShape = shape{kinds: list | mapping, item: &stringShape, open: &shape{kinds: mapping, keys: []field{
	{name: "condition", example: "service_healthy", required: true, doc: "What is waited for.",
		shape: &shape{kinds: text, words: []string{"service_started", "service_healthy", "service_completed_successfully"}}},
	{name: "required", shape: &boolShape, example: "false", doc: "false goes on without it."},
	{name: "restart", shape: &boolShape, example: "true", doc: "Restart this service when that one is restarted."},
}}}

var healthShape = shape{kinds: mapping, keys: []field{
	{name: "disable", shape: &boolShape, example: "true", doc: "Switch the image's check off."},
	{name: "interval", shape: &durationShape, example: "30s", doc: "The time between two checks."},
	{name: "retries", shape: &intShape, example: "3", doc: "The failures in a row that count as unwell."},
	{name: "start_interval", shape: &durationShape, example: "1s", doc: "The time between two checks while starting."},
	{name: "start_period", shape: &durationShape, example: "1m", doc: "The time in which failures do not count."},
	{name: "test", shape: &oneOrMany, example: "[CMD, /healthy]", doc: "The command; its exit status 0 is well."},
	{name: "timeout", shape: &durationShape, example: "5s", doc: "The longest that a check may take."},
}}

var hooksShape = shape{kinds: list, item: &shape{kinds: mapping, keys: []field{
	{name: "command", shape: &shape{kinds: text | list, item: &stringShape}, example: "[/prepare]", required: true, doc: "The command."},
	{name: "environment", shape: &pairsShape, example: "{LANG: C.UTF-8}", doc: "Further variables."},
	{name: "privileged", shape: &boolShape, example: "false", doc: "Run it with all privileges."},
	{name: "user", shape: &nameShape, example: "root", doc: "The user to run it as."},
	{name: "working_dir", shape: &stringShape, example: "/srv", doc: "The directory to run it in."},
}}}
