// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// elsewhere are attacks whose tests stand beside the code that they are about, or
// need a machine that systemd runs.
type elsewhere struct {
	rows, what string
	tests      string // "PACKAGE TEST, TEST; PACKAGE TEST"
	// off is a protection without which the first test must fail.
	off string
	// without says how the test is known to bite where off is "".
	without string
}

var others = []elsewhere{
	{"2016-3697, 2024-40635", "a user whose number is a name in the image's passwd", "internal/runtime TestUserIsLookedUpInsideTheRootfs, TestHostileNamesOfUsers; test/systemd TestAttackByNamesOfUsers", "numbers-are-ids", ""},
	{"2024-40635, 2026-46680, 2024-9341", "users and groups of the image with ids that do not fit, which would be 0, and files of names that lead to the host, also racing ones", "internal/runtime TestHostileNamesOfUsers; test/systemd TestAttackByNamesOfUsers", "ids-that-fit", ""},
	{"2026-47262, NUL bytes", "files of names in a root file system with lines or a size of many megabytes, with NUL bytes, or a FIFO or a device in their place", "test/systemd TestAttackByNamesOfUsers; internal/runtime TestHostileNamesOfUsers", "", "TestAttackByNamesOfUsers starts them with the helper that leaves `name-file-limit` away; NUL bytes and the endless device: the same file without them"},
	{"2024-9676, 2024-23651, 2024-23652, 2024-23653", "a path below a volume that is a link to the host", "internal/runtime TestSubpathIsResolvedInsideTheVolume, TestLinksOfTheImageAreNotWrittenThrough", "in-root", ""},
	{"2026-57231", "an image's variable without a value, which would be the host's", "internal/runtime TestImageLayers", "image-environment", ""},
	{"2018-15664, 2019-10152, 2019-18466, 2022-1227", "links in a container, also racing ones, that `unitc cp` would follow on the host", "internal/cli/files TestRacingLinks, TestLinksStayInside, TestHostileTar; test/systemd TestAttackOnCopy, TestCopyInAndOut", "copy-inside", ""},
	{"2018-15664, the moment of a start", "a container that ends and begins again and again, while `unitc cp` and `export` copy: for a moment its process has the host's root", "test/systemd TestAttackOnCopyWhileItBegins", "", "the test has `unitc` leave `own-root` and `own-namespaces` away"},
	{"the moment of a start", "a container that begins again and again, while `unitc exec` joins it: until its process has entered its namespaces what joins would be root of the host", "test/systemd TestAttackOnExecWhileItBegins", "", "the test has `unitc` leave `own-namespaces` away"},
	{"MAINPID=, FDSTORE=, NOTIFYACCESS=", "a payload's messages to systemd", "internal/notification TestFilter; internal/oci TestNotifyOfAHostilePayload; test/systemd TestMainPIDFromInside, TestNotifyFromInside, TestOCINotify", "notify-filter", ""},
	{"2021-29136, 2026-17106, 2026-50163, 2021-32760, 2021-41089, 2025-47290, whiteouts", "names and links of a layer that lead to the host", "internal/image/layer TestLinksOfALayerStayInside, TestApply, TestApplyRefuses", "layer-inside", ""},
	{"integrity, 2021-41190, 2024-3727, 2023-25153", "content that is not what its digest says, manifests that are two things, sizes without end", "internal/image TestPullRefuses, TestLoadRefuses, TestPeakMemory", "verify-digest", ""},

	{"bombs", "a layer of headers that belong to no file, so that no size announces what it unpacks to", "internal/image/layer TestHeadersWithoutEnd", "layer-limits", ""},
	{"2020-15157, 2019-10214", "a registry that sends a pull to another host, which would see the password", "internal/image TestPullRedirectWithoutCredentials", "credentials-stay", ""},
	{"pinned digests", "an archive that names its image by the digest of another one", "internal/image TestLoadedNamesWithADigest", "", "the operator's own `--name` has the image found under that digest"},
	{"setuid, device nodes and steering attributes in layers", "files of a layer that the host's kernel would heed", "internal/image/layer TestApplyRefuses, TestApplyMetadata", "layer-files", ""},
	{"2021-20291", "a bad layer that keeps a lock", "internal/image TestPullRefuses", "", "a good pull follows each bad one"},
	{"2022-23648", "volumes of an image by paths that climb", "internal/image FuzzConfig", "clean-volumes", ""},
	{"volumes without end", "an image that declares many thousand volumes, for each of which a start makes a directory of the host", "internal/image TestVolumesWithoutEnd", "volumes-limit", ""},
	{"2026-31431: socketcall by the other architecture", "system calls of another architecture, by which a filter is gone around", "internal/seccomp TestKernelForeign, TestKernelDefault", "native-calls", ""},
	{"GO-2022-0363, GO-2022-0396", "opening devices that were not asked for, whatever node leads to them", "test/vm TestDevicesAreClosed", "", "`device_cgroup_rules:` opens it"},
	{"2024-3056", "shared memory that is charged to nobody and stays behind", "test/vm TestSharedMemoryIsCharged", "", "without `mem_limit:` it can be had"},
	{"2025-47291", "a first or a joining process in the wrong cgroup", "test/systemd TestScopeIsDelegatedAndCarriesEveryLimit, TestExec", "", "the cgroup is compared with the unit's"},
	{"2026-40223, 2026-4105", "what systemd believes of a scope", "test/systemd TestScopeIsDelegatedAndCarriesEveryLimit", "", "the properties are read back; nothing is registered with machined"},
	{"2024-25621, 2025-4953, 2020-15257", "state, plans and sockets below /run that others reach", "test/systemd TestRuntimeStateIsRootsAlone", "", "TestAttacks/files-of-the-state has the same check with such a file"},
	{"2025-9566", "secrets and configs written through links in a volume", "test/systemd TestSecrets; internal/runtime TestLinksOfTheImageAreNotWrittenThrough", "", "they are mounts, made as in TestAttacks/mount-through-a-link"},
	{"2020-13401", "router advertisements that the host would believe", "internal/network TestSysctlsAreNarrow", "no-routers", ""},
	{"2022-31030, 2022-23471, 2022-1708, 2025-64329", "output of `exec` that nobody reads", "test/systemd TestExec", "", "the pipe is the caller's own: nothing is kept in between"},
	{"2026-48749, 2026-48755, newline injection", "strings and names of definitions that would add a directive to a unit", "internal/unitfile FuzzSet; test/systemd TestStringsReachTheKernel, TestStringsAddNoDirective; internal/generator/command TestHostileSearchPath", "one-line-values", ""},
	{"aliases, huge, unreadable and doubled definitions", "definitions that would stop the generator", "internal/compose TestBombs; test/systemd TestBrokenDefinitions", "definition-limits", ""},
	{"journal", "lines in the journal under a container's name, by a user of the host", "test/systemd TestAttackOnLastLines", "", "the test has clean-up leave `lines-of-the-unit` away"},
	{"ForwardToWall=", "lines that a payload calls emergencies, for journald to write them to the terminals of all who are logged in, control characters included", "test/systemd TestAttackOnTerminals", "", "`SyslogLevelPrefix: true` lets them through"},
	{"deep trees", "directories in each other that a container has written, more than a process may open: nothing removes them, nor what others have left behind them", "internal/store TestDeepTrees", "deep-trees", ""},
	{"resources of a user", "what the kernel grants to a user in all, inotify instances, queued signals or message queues, until root of the host, and so systemd and all containers, gets none", "test/systemd TestAttackOnCountsOfRoot; test/vm TestCountsOfRootStayRoots", "", "the first test starts them with the helper that leaves `own-counts` away, in the second `userns_mode: host` takes root's"},
	{"resources of the resolver", "all containers of a network ask for names that nobody answers, so that those of other networks hear nothing", "internal/resolver TestWaitingNetworkLeavesOthersRoom", "", "without the bound the test fails"},
	{"resources of the resolver", "questions for names without end, from one network, so that those of others find no room in the resolver's queue", "internal/network TestQuestionsWithoutEnd", "", "without the rule the test fails"},
	{"resources of the resolver", "questions under addresses that nobody has, for which IPv6 asks no privilege: what is said to these fills the resolver's socket, so that nobody on any network hears a name", "internal/resolver TestStrangersHearNothing; test/systemd TestAttackOnNamesOfOthers", "strangers-hear-nothing", ""},
	{"resources of the host", "an image whose HEALTHCHECK is to be run again at once, each time by a process of the host's that no limit of the container is for", "internal/launch TestImageHealthTooOften", "checks-of-images", ""},
	{"sd_notify(3)", "messages to systemd without end, each of which costs PID 1", "internal/notification TestWordsComeSlowly; internal/oci TestNotifyOfALoudPayload; test/systemd TestAttackOnSystemdByWords", "", "without the bound both tests fail"},
	{"terminals", "names and texts with control characters or priorities, which errors, JSON and the status of a unit repeat", "internal/journal TestEntry; internal/notification TestFilter; cmd/unitc TestErrorsSteerNoTerminal, TestJSONSteersNoTerminal", "", "the texts are compared byte by byte"},
	{"cgroups", "cgroups without end that a payload makes which may make some, so that the kernel has no number for others' or nobody can remove them", "test/systemd TestSystemContainer", "", "without the bound the test fails"},
	{"a replaced first process", "`unitc exec` into the process that got the number of the container's", "internal/runtime TestExecUserEnvironmentAndErrors", "start-time", ""},
	{"an init", "the memory of the init that `init: true` puts in front of the payload, on which no filter lies", "internal/runtime TestInitCannotBeLookedInto; test/systemd TestUserInitCannotBeLookedInto", "forbid-tracing", ""},
	{"files of root's", "a container links its resolv.conf to a file that it sees and may not read (`/:/host:ro`, `pid: host`), for who joins its network to be given", "internal/launch TestNamesThatANeighbourMayNotRead", "own-may-read", ""},
	{"namespaces of a start", "a container joins another one that is on its way up, whose first process has the host's namespaces yet", "test/systemd TestJoinsWhileTheOtherBegins", "", "the test starts one with the helper that leaves `neighbour-is-there` away"},
	{"2020-15257", "abstract sockets of the host's, from a container in its network, or in that of another one there", "internal/runtime TestAbstractSocketsOfTheHost; test/systemd TestAttackOnAbstractSockets, TestUserAttackOnAbstractSockets", "scope-abstract-sockets", ""},
	{"containers of users", "what root of a user's container, who is the user, comes to of the user's home, systemd, bus, keys and other containers", "test/systemd TestUserAttackFromInside", "", "with `seccomp=unconfined` the same payload reads the keys"},
	{"a definition that does not answer", "a file in a user's home that holds up their systemd's generator, and so their login", "test/systemd TestUserSlowDefinition", "", "closing the file lets the generator read it"},
	{"settings of others", "a FIFO or a device where root's `unitc` looks for credentials, with the environment of a user", "internal/image TestReadConf", "", "a file in the same place is read"},
	{"subordinate ids", "ids of root's containers, or of a user's images and volumes, that become another user's", "internal/idrange TestClaimIsGivenUpToOthers; internal/store TestSameIDs; test/systemd TestUserStoreOfOtherIDs, TestUserIDs", "", "ids that stay the same are kept"},
}

// absent are rows for which there is no code that could be attacked.
var absent = []struct{ rows, why string }{
	{"2024-8676, 2026-50195, 2026-53489, 2026-53492", "checkpoints: nothing is restored from an archive"},
	{"2026-44517, 2026-33747, 2026-33748", "builds: another program builds, when the operator asks for it, as the operator; no start does"},
	{"2026-41568, 2026-42306", "mounts into a running container: there are none"},
	{"2020-10749, 2021-20206, 2025-67499, 2024-32473", "CNI plugins: there are none"},
	{"zstd:chunked, estargz", "tables of contents in layers: they are not read"},
	{"2022-0492", "release_agent of cgroup v1: hosts with v1 are refused (unitc doctor)"},
}

// Tests of other packages fail when what they are about is left away.
func TestOthersBite(t *testing.T) {
	for _, o := range others {
		if o.off == "" {
			continue
		}
		t.Run(o.off, func(t *testing.T) {
			t.Parallel()
			pkg, rest, _ := strings.Cut(o.tests, " ")
			test, _, _ := strings.Cut(strings.Split(rest, ";")[0], ",")
			cmd := exec.Command("go", "test", "-vet=off", "-tags", "unsafe_attack", "-run", "^"+test+"$", "./"+pkg)
			cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0", "UNITC_UNSAFE="+o.off)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: "+test) {
				t.Errorf("%s passes without the protection, or does not run (%v):\n%s", o.tests, err, out)
			}
		})
	}
}
