// SPDX-License-Identifier: Apache-2.0

package compose

// laterKeys are Compose's keys that change nothing here (ignored) or never will
// be supported (refused).
var laterKeys = []field{
	{name: "attach", shape: &boolShape, example: "true", ignored: "it concerns the terminal of docker compose up",
		doc: "Whether docker compose up shows the service's output."},
	{name: "cgroup_parent", shape: &stringShape, refused: "write systemd: slice:"},
	{name: "cpu_count", shape: &intShape, refused: "write cpus: (cpu_count is Windows')"},
	{name: "cpu_percent", shape: &intShape, refused: "write cpus: (cpu_percent is Windows')"},
	{name: "cpu_rt_period", shape: &shape{kinds: number | text}, refused: "remove it; cgroup v2 has no real-time groups"},
	{name: "cpu_rt_runtime", shape: &shape{kinds: number | text}, refused: "remove it; cgroup v2 has no real-time groups"},
	{name: "credential_spec", shape: &anyShape, refused: "remove it; it is for Windows containers"},
	{name: "develop", shape: &shape{kinds: null | mapping, open: &anyShape}, example: "{watch: []}", ignored: "it concerns docker compose watch",
		doc: "How docker compose watch follows the sources."},
	{name: "external_links", shape: &uniqueShape, refused: "put both services on one of networks:"},
	{name: "isolation", shape: &stringShape, refused: "remove it; it is for Windows containers"},
	{name: "mem_swappiness", shape: &intShape, refused: "write memswap_limit: equal to mem_limit: for no swap (cgroup v2 has no swappiness of its own)"},
	{name: "models", shape: &shape{kinds: list | mapping, item: &stringShape, open: &anyShape}, refused: "run the model as a service of its own"},
	{name: "pre_start", shape: &anyShape, refused: "write each step as a service of its own with restart: no, and wait for it: depends_on: {STEP: {condition: service_completed_successfully}}"},
	{name: "provider", shape: &anyShape, refused: "run what the provider runs as a service of its own"},
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
