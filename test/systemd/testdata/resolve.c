// SPDX-License-Identifier: Apache-2.0

// resolve asks the C library for names, and for the names of addresses, and
// prints one line for each: its answers in order, or "status N: why". It is
// built with glibc and with musl, which ask in different ways.
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int compare(const void *a, const void *b) { return strcmp(a, b); }

static void reverse(const char *name, const struct addrinfo *at) {
	char host[NI_MAXHOST];
	int err = getnameinfo(at->ai_addr, at->ai_addrlen, host, sizeof host, NULL, 0, NI_NAMEREQD);
	printf("%s: %s\n", name, err ? gai_strerror(err) : host);
}

static void forward(const char *name) {
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list, *at;
	static char found[1000][INET6_ADDRSTRLEN];
	size_t n = 0;
	int err = getaddrinfo(name, NULL, &hints, &list);
	if (err) {
		printf("%s: status %d: %s\n", name, err, gai_strerror(err));
		return;
	}
	for (at = list; at && n < 1000; at = at->ai_next)
		if (!getnameinfo(at->ai_addr, at->ai_addrlen, found[n], INET6_ADDRSTRLEN, NULL, 0, NI_NUMERICHOST))
			n++;
	freeaddrinfo(list);
	qsort(found, n, INET6_ADDRSTRLEN, compare);
	printf("%s:", name);
	for (size_t i = 0; i < n; i++)
		printf(" %s", found[i]);
	printf("\n");
}

int main(int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *at;
		if (getaddrinfo(argv[i], NULL, &hints, &at)) {
			forward(argv[i]);
			continue;
		}
		reverse(argv[i], at);
		freeaddrinfo(at);
	}
	return 0;
}
