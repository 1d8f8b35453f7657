// SPDX-License-Identifier: Apache-2.0
//
// The payload of every benchmark: the smallest program that can say when it
// began. Modes by the first argument:
//
//	stamp FILE       writes CLOCK_MONOTONIC (nanoseconds) to FILE, waits for SIGTERM
//	lines N          writes N numbered lines of 64 bytes to standard output, ends
//	true             ends at once
//
// Build: cc -O2 -static -o payload payload.c
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void leave(int signal) { _exit(0); }

int main(int argc, char **argv)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (argc > 2 && !strcmp(argv[1], "stamp")) {
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
