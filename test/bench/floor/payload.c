// SPDX-License-Identifier: Apache-2.0
//
// The payload of every benchmark: the smallest program that can say when it
// began. Modes by the first argument:
//
//	stamp FILE       writes CLOCK_MONOTONIC (nanoseconds) to FILE, waits for SIGTERM
//	serve FILE PORT  as stamp, and answers on a TCP port: what comes after a first
//	                 byte "e" is sent back, after any other it is thrown away
//	lines N          writes N numbered lines of 64 bytes to standard output, ends
//	true             ends at once
//	usage FILE PROGRAM [ARG]...  runs a program and writes its page faults and its
//	                 peak memory in KiB to FILE. Of a child the kernel counts what its
//	                 parent had before exec too, which is next to nothing here.
//
// Build: cc -O2 -static -o payload payload.c
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void leave(int signal) { _exit(0); }

static void answer(int fd)
{
	static char buffer[1 << 18];
	char mode = 0;
	ssize_t n, sent;
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (read(fd, &mode, 1) != 1)
		return;
	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		for (ssize_t at = 0; mode == 'e' && at < n; at += sent)
			if ((sent = write(fd, buffer + at, n - at)) <= 0)
				return;
}

static int serve(int port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, fd = socket(AF_INET6, SOCK_STREAM, 0);
	int no6 = fd < 0;
	if (no6)
		fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, no6 ? (void *)&any4 : (void *)&any, no6 ? sizeof any4 : sizeof any) || listen(fd, 128)) {
		perror("listen");
		return 1;
	}
	for (;;) {
		int client = accept(fd, NULL, NULL);
		if (client < 0)
			continue;
		answer(client);
		close(client);
	}
}

static int usage(const char *file, char **program)
{
	struct rusage used;
	int status;
	prctl(PR_SET_NAME, "usage"); // what is called payload is killed at a turn's end
	pid_t pid = fork();
	if (pid == 0) {
		execv(program[0], program);
		perror(program[0]);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &used) != pid)
		return 1;
	FILE *out = fopen(file, "w");
	if (!out || fprintf(out, "%ld %ld\n", used.ru_minflt + used.ru_majflt, used.ru_maxrss) < 0 || fclose(out)) {
		perror(file);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (argc > 3 && !strcmp(argv[1], "usage"))
		return usage(argv[2], argv + 3);
	if (argc > 2 && (!strcmp(argv[1], "stamp") || !strcmp(argv[1], "serve"))) {
		char text[32];
		struct sigaction end = {.sa_handler = leave};
		sigaction(SIGTERM, &end, NULL); // as first process of a PID namespace it would not see it otherwise
		int n = snprintf(text, sizeof text, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
		int fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0666);
		if (fd < 0 || write(fd, text, n) != n) {
			perror(argv[2]);
			return 1;
		}
		close(fd);
		if (argc > 3)
			return serve(atoi(argv[3]));
		for (;;)
			pause();
	}
	if (argc > 2 && !strcmp(argv[1], "lines")) {
		for (long i = 1, n = atol(argv[2]); i <= n; i++)
			printf("line %8ld of a log that a payload writes as fast as it can do..\n", i);
		return 0;
	}
	return argc > 1 && !strcmp(argv[1], "true") ? 0 : 2;
}
