// SPDX-License-Identifier: Apache-2.0
//
// What a container start costs at least: the system calls of one, in C, with
// nothing read, decided or checked. All namespaces (the user namespace last, as
// unitc does), an overlay, pivot_root, a /dev, masks, capabilities, a seccomp
// filter of a hundred instructions, then exec.
//
//	floor [-scope] UNIT ROOT SCRATCH OUT PROGRAM [ARG]...
//
// ROOT is the lower directory, SCRATCH a tmpfs directory for the upper one, OUT
// is bound to /out. With NOTIFY_SOCKET set it is a service's helper: the child
// becomes the main process and this one ends. With -scope it has PID 1 make
// UNIT.scope for the child, over /run/systemd/private.
//
// Build: cc -O2 -static -o floor floor.c
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY(call) do { if ((call) < 0) { perror(#call); _exit(1); } } while (0)

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0) {
		perror(path);
		_exit(1);
	}
	close(fd);
}

static void await(int fd)
{
	char c;
	if (read(fd, &c, 1) != 1)
		_exit(1);
}

static void filter(void)
{
	struct sock_filter code[100];
	struct sock_fprog program = {100, code};
	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 1; i < 98; i++) // numbers that nobody calls
		code[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 5000 + i, 98 - i, 0);
	code[98] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[99] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	TRY(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

// The child's work before its scope is there.
static void mounts(const char *root, const char *scratch, const char *out)
{
	static const char *nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
	static const char *masks[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list"};
	static const char *fixed[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	char options[1024], path[512], source[64];
	TRY(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	TRY(mount("tmpfs", scratch, "tmpfs", 0, "mode=755"));
	snprintf(path, sizeof path, "%s/upper", scratch);
	TRY(mkdir(path, 0755));
	snprintf(path, sizeof path, "%s/work", scratch);
	TRY(mkdir(path, 0755));
	snprintf(path, sizeof path, "%s/root", scratch);
	TRY(mkdir(path, 0755));
	snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", root, scratch, scratch);
	TRY(mount("overlay", path, "overlay", 0, options));
	TRY(chdir(path));
	TRY(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	TRY(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL));
	TRY(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k"));
	TRY(mkdir("dev/pts", 0755));
	TRY(mkdir("dev/shm", 0755));
	TRY(mkdir("dev/mqueue", 0755));
	TRY(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"));
	TRY(mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777"));
	TRY(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
		snprintf(path, sizeof path, "dev/%s", nodes[i]);
		snprintf(source, sizeof source, "/dev/%s", nodes[i]);
		TRY(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
		TRY(mount(source, path, NULL, MS_BIND, NULL));
	}
	TRY(mkdir("out", 0755) < 0 && errno != EEXIST ? -1 : 0);
	TRY(mount(out, "out", NULL, MS_BIND, NULL));
	TRY(syscall(SYS_pivot_root, ".", "."));
	TRY(umount2(".", MNT_DETACH));
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		if (!mount(fixed[i], fixed[i], NULL, MS_BIND | MS_REC, NULL))
			TRY(mount(NULL, fixed[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
		if (!access(masks[i], F_OK))
			TRY(mount("/dev/null", masks[i], NULL, MS_BIND, NULL));
	TRY(sethostname("floor", 5));
}

static void confine(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0}};
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		TRY(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	TRY(setgroups(0, NULL) && errno != EPERM ? -1 : 0);
	TRY(setresgid(0, 0, 0));
	TRY(setresuid(0, 0, 0));
	TRY(syscall(SYS_capset, &header, none));
	TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	filter();
}

static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path)
		return;
	struct sockaddr_un to = {AF_UNIX};
	strncpy(to.sun_path, path, sizeof to.sun_path - 1);
	if (*path == '@')
		to.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	TRY(sendto(fd, text, strlen(text), 0, (void *)&to, offsetof(struct sockaddr_un, sun_path) + strlen(path)));
	close(fd);
}

// A D-Bus message under construction (D-Bus specification, marshalling).
static uint8_t body[4096];
static size_t used;

static void pad(size_t n) { while (used % n) body[used++] = 0; }
static size_t u32(uint32_t v) { pad(4); memcpy(body + used, &v, 4); used += 4; return used - 4; }
static void str(const char *s) { size_t n = strlen(s); u32(n); memcpy(body + used, s, n + 1); used += n + 1; }
static void sig(const char *s) { size_t n = strlen(s); body[used++] = n; memcpy(body + used, s, n + 1); used += n + 1; }
static void close_array(size_t at, size_t from) { uint32_t n = used - from; memcpy(body + at, &n, 4); }
static void prop(const char *name, const char *type) { pad(8); str(name); sig(type); }
static void strings(const char *name, const char *value) { prop(name, "as"); size_t at = u32(0), from = used; str(value); close_array(at, from); }

static void scope(const char *unit, pid_t child)
{
	char name[256], service[256];
	snprintf(name, sizeof name, "%s.scope", unit);
	snprintf(service, sizeof service, "%s.service", unit);
	for (char *c = name; *c; c++) // no scope has an @ in its name
		*c = *c == '@' ? '-' : *c;
	str(name);
	str("fail");
	size_t all = u32(0);
	pad(8);
	size_t from = used, at;
	prop("PIDs", "au"), at = u32(0), u32(child), close_array(at, used - 4);
	prop("Delegate", "b"), u32(1);
	prop("CollectMode", "s"), str("inactive-or-failed");
	strings("BindsTo", service);
	strings("Before", service);
	close_array(all, from);
	u32(0), pad(8); // no auxiliary units
	uint8_t message[8192];
	uint32_t size = used;
	memcpy(message + 4096, body, used);
	used = 0;
	memcpy(body, "l\1\1\1", 4), used = 4; // little-endian, a call, NO_REPLY_EXPECTED
	u32(size), u32(1);
	size_t fields = u32(0);
	from = used;
	pad(8), body[used++] = 1, sig("o"), str("/org/freedesktop/systemd1");
	pad(8), body[used++] = 2, sig("s"), str("org.freedesktop.systemd1.Manager");
	pad(8), body[used++] = 3, sig("s"), str("StartTransientUnit");
	pad(8), body[used++] = 8, sig("g"), sig("ssa(sv)a(sa(sv))");
	close_array(fields, from);
	pad(8);
	static const char hello[] = "\0AUTH EXTERNAL 30\r\nBEGIN\r\n";
	memcpy(message, hello, sizeof hello - 1);
	memcpy(message + sizeof hello - 1, body, used);
	memmove(message + sizeof hello - 1 + used, message + 4096, size);
	struct sockaddr_un to = {AF_UNIX, "/run/systemd/private"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	TRY(connect(fd, (void *)&to, sizeof to));
	TRY(write(fd, message, sizeof hello - 1 + used + size));
	char path[300], line[300];
	snprintf(path, sizeof path, "/proc/%d/cgroup", child);
	for (;;) { // the child is moved when the scope is there
		int f = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(f, line, sizeof line - 1);
		close(f);
		if (n <= 0)
			_exit(1);
		line[n - 1] = 0;
		if (strstr(line, name))
			break;
		usleep(200);
	}
	close(fd);
	snprintf(path, sizeof path, "/sys/fs/cgroup%s/payload", strstr(line, "0::") + 3);
	TRY(mkdir(path, 0755));
	strcat(path, "/cgroup.procs");
	snprintf(line, sizeof line, "%d", child);
	put(path, line);
}

int main(int argc, char **argv)
{
	int with_scope = argc > 1 && !strcmp(argv[1], "-scope");
	argv += with_scope, argc -= with_scope;
	if (argc < 6)
		return 2;
	const char *unit = argv[1];
	int go[2], ready[2];
	TRY(pipe2(go, O_CLOEXEC));
	TRY(pipe2(ready, O_CLOEXEC));
	int parent = getenv("NOTIFY_SOCKET") ? CLONE_PARENT : SIGCHLD;
	long child = syscall(SYS_clone, parent | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, 0, 0, 0, 0);
	TRY(child);
	if (!child) {
		mounts(argv[2], argv[3], argv[4]);
		TRY(unshare(CLONE_NEWUSER));
		TRY(write(ready[1], "", 1));
		await(go[0]); // ids are mapped, the scope is there
		TRY(unshare(CLONE_NEWCGROUP));
		confine();
		unsetenv("NOTIFY_SOCKET");
		TRY(syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */));
		execv(argv[5], argv + 5);
		perror(argv[5]);
		_exit(1);
	}
	char path[64], text[64];
	snprintf(text, sizeof text, "MAINPID=%ld", child);
	notify(text);
	if (with_scope)
		scope(unit, child);
	await(ready[0]);
	snprintf(path, sizeof path, "/proc/%ld/uid_map", child);
	put(path, "0 100000 65536");
	snprintf(path, sizeof path, "/proc/%ld/gid_map", child);
	put(path, "0 100000 65536");
	TRY(write(go[1], "", 1));
	if (parent == SIGCHLD)
		waitpid(child, NULL, 0);
	else
		notify("READY=1");
	return 0;
}
