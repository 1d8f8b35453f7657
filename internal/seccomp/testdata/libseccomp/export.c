// SPDX-License-Identifier: Apache-2.0
/*
 * Feeds rules to libseccomp and writes the program it makes, so that the
 * compiler in Go can be judged by one that nobody here wrote. Run by
 * `go test -run TestLibseccomp -update`, which needs gcc and libseccomp-dev;
 * a plain `go test` reads the programs kept beside this file.
 *
 * stdin, one word list a line:
 *   default ACTION        the number seccomp(2) would return
 *   arch NAME             beside the native one
 *   rule ACTION SYSCALL [INDEX OP A B]...
 * stdout: struct sock_filter in host order.
 * With the argument "names" it instead prints every name and number it knows.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const ops[] = {"", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"};

static void die(const char *what, const char *word, int rc)
{
	fprintf(stderr, "%s %s: %s\n", what, word ? word : "", strerror(-rc));
	exit(1);
}

static enum scmp_compare operator(const char *word)
{
	for (int i = 1; i < 8; i++)
		if (word && strcmp(word, ops[i]) == 0)
			return i;
	die("operator", word, 0);
	return 0;
}

static void rule(scmp_filter_ctx ctx)
{
	uint32_t action = strtoul(strtok(NULL, " \n"), NULL, 0);
	const char *name = strtok(NULL, " \n");
	struct scmp_arg_cmp args[6] = {0};
	int n = 0;

	for (char *word; (word = strtok(NULL, " \n")); n++) {
		args[n].arg = atoi(word);
		args[n].op = operator(strtok(NULL, " \n"));
		args[n].datum_a = strtoull(strtok(NULL, " \n"), NULL, 0);
		args[n].datum_b = strtoull(strtok(NULL, " \n"), NULL, 0);
	}
	int nr = seccomp_syscall_resolve_name(name);
	if (nr == __NR_SCMP_ERROR) /* newer than this libseccomp */
		return;
	int rc = seccomp_rule_add_array(ctx, action, nr, n, args);
	if (rc)
		die("rule", name, rc);
}

static int names(void)
{
	static const char *const archs[] = {"x86_64", "aarch64", "x86", "arm", "x32"};

	for (int i = 0; i < 5; i++) {
		uint32_t arch = seccomp_arch_resolve_name(archs[i]);
		for (int nr = 0; nr <= 0xf0010; nr++) {
			int bit = arch == SCMP_ARCH_X32 ? 0x40000000 : 0;
			char *name = seccomp_syscall_resolve_num_arch(arch, nr | bit);
			if (name)
				printf("%s %s %d\n", archs[i], name, nr);
			free(name);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = NULL;
	char line[4096];

	if (argc > 1 && strcmp(argv[1], "names") == 0)
		return names();
	while (fgets(line, sizeof(line), stdin)) {
		const char *word = strtok(line, " \n");
		int rc = 0;

		if (!word)
			continue;
		if (strcmp(word, "default") == 0) {
			ctx = seccomp_init(strtoul(strtok(NULL, " \n"), NULL, 0));
			/* Ours kills the process for a foreign architecture, on purpose. */
			seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
		} else if (strcmp(word, "arch") == 0) {
			const char *name = strtok(NULL, " \n");
			rc = seccomp_arch_add(ctx, seccomp_arch_resolve_name(name));
			if (rc && rc != -EEXIST)
				die("arch", name, rc);
		} else if (strcmp(word, "rule") == 0) {
			rule(ctx);
		}
	}
	if (!ctx)
		die("no default", NULL, 0);
	int rc = seccomp_export_bpf(ctx, STDOUT_FILENO);
	if (rc)
		die("export", NULL, rc);
	seccomp_release(ctx);
	return 0;
}
