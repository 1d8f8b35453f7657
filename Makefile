# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets.

PREFIX     ?= /usr/local
DESTDIR    ?=
BIN        ?= bin
LIBEXECDIR ?= $(PREFIX)/lib/unitc
SYSTEMDDIR ?= $(PREFIX)/lib/systemd
UNITDIR     = $(SYSTEMDDIR)/system
GENERATORS  = $(SYSTEMDDIR)/system-generators

# The version comes with a space-free fallback: release tarballs have no git.
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
GO         ?= go
# No cgo and no PIE: both cost start-up time at every launch and every reload.
export CGO_ENABLED = 0

BUILDINFO = github.com/unitc/unitc/internal/buildinfo
LDFLAGS   = -s -w -X $(BUILDINFO).Version=$(VERSION) -X $(BUILDINFO).HelperPath=$(LIBEXECDIR)/unitc-exec -X $(BUILDINFO).RelayPath=$(LIBEXECDIR)/unitc-relay -X $(BUILDINFO).ProbePath=$(LIBEXECDIR)/unitc-probe -X $(BUILDINFO).YAMLGeneratorPath=$(LIBEXECDIR)/unitc-generator-yaml -X $(BUILDINFO).CommandPath=$(PREFIX)/bin/unitc
# unitc-runtime begins in internal/oci/entry, both generators and unitc-exec in
# internal/entry, which know two processors.
RUNTIME   = github.com/unitc/unitc/cmd/unitc-runtime
GENERATOR = github.com/unitc/unitc/cmd/unitc-generator
HELPER    = github.com/unitc/unitc/cmd/unitc-exec
ENTRY     = $(if $(filter amd64 arm64,$(or $(GOARCH),$(shell $(GO) env GOARCH))),-E github.com/unitc/unitc/internal/$(1).start$(2))
COMMANDS  = $(sort $(patsubst cmd/%/,%,$(dir $(wildcard cmd/*/*.go))))
INSTALL   = install

.DEFAULT_GOAL = build

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  \1	/p' $(MAKEFILE_LIST) | expand -t 18

# One `go build` for all: it knows better than make what is out of date.
.PHONY: build
build: toolchain manuals completions ## build static binaries, manual pages and completions into bin/
	@mkdir -p $(BIN)
	$(if $(COMMANDS),$(GO) build -trimpath -ldflags='$(LDFLAGS)' -ldflags='$(RUNTIME)=$(LDFLAGS) $(call ENTRY,oci/entry)' -ldflags='$(GENERATOR)=$(LDFLAGS) $(call ENTRY,entry,Alone)' -ldflags='$(GENERATOR)-yaml=$(LDFLAGS) $(call ENTRY,entry,Alone)' -ldflags='$(HELPER)=$(LDFLAGS) $(call ENTRY,entry)' -o $(BIN)/ $(COMMANDS:%=./cmd/%))

MANUALS     = $(patsubst docs/man/%.md,$(BIN)/man/%,$(wildcard docs/man/*.md))
COMPLETIONS = $(addprefix $(BIN)/completions/,bash zsh fish)

.PHONY: manuals
manuals: $(MANUALS)

$(BIN)/man/%: docs/man/%.md tools/go.mod | toolchain
	@mkdir -p $(@D)
	@env -u GOOS -u GOARCH $(GO) tool -modfile=tools/go.mod go-md2man -in $< -out $@

.PHONY: completions
completions: $(COMPLETIONS)

# Run on this machine, also where what is built is for another.
$(BIN)/completions/%: $(wildcard cmd/unitc/*.go) | toolchain
	@mkdir -p $(@D)
	@env -u GOOS -u GOARCH $(GO) run ./cmd/unitc completion $* >$@.$$$$ && mv $@.$$$$ $@

.PHONY: lab
lab: toolchain
	@mkdir -p bin
	@$(GO) build -trimpath -o bin/lab ./test/lab

# On a machine without Go, root gets Debian's; with GOTOOLCHAIN=auto that one
# fetches the version which go.mod asks for.
.PHONY: toolchain
toolchain:
	@packaging/toolchain $(GO)

.PHONY: install
install: ## install $(BIN)/* and the unit files below $(DESTDIR)$(PREFIX)
	@BIN='$(BIN)' packaging/installer install '$(DESTDIR)' '$(PREFIX)' '$(LIBEXECDIR)' '$(SYSTEMDDIR)'

.PHONY: uninstall
uninstall: ## stop what unitc runs and remove what install put there
	@BIN='$(BIN)' packaging/installer uninstall '$(DESTDIR)' '$(PREFIX)' '$(LIBEXECDIR)' '$(SYSTEMDDIR)'

# A version that both package managers take: a digit first, no dash.
PACKAGE         = bin/package
PACKAGE_VERSION = $(if $(filter v%,$(VERSION)),$(subst -,+,$(VERSION:v%=%)),0.0.0+$(subst -,.,$(VERSION)))

.PHONY: packages
packages: toolchain ## make a .deb and a .rpm in bin/package
	@rm -rf $(PACKAGE)/tree $(PACKAGE)/*.deb $(PACKAGE)/*.rpm
	@$(MAKE) --no-print-directory -s build install BIN=$(PACKAGE)/bin PREFIX=/usr DESTDIR='$(CURDIR)/$(PACKAGE)/tree'
	@{ printf '#!/bin/sh\nset -eu\n'; cat packaging/units.sh packaging/package/prerm; } >$(PACKAGE)/tree.prerm
	@$(GO) build -modfile=tools/go.mod -o $(PACKAGE)/nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm
	@for kind in deb rpm; do \
		ARCH=$$($(GO) env GOARCH) PACKAGE_VERSION='$(PACKAGE_VERSION)' $(PACKAGE)/nfpm package \
			--config packaging/package/nfpm.yaml --packager $$kind --target $(PACKAGE)/unitc.$$kind || exit; done

.PHONY: lint
lint: toolchain lab ## gofmt, go vet, staticcheck, govulncheck
	@bin/lab lint

.PHONY: test
test: toolchain lab ## all lanes: unit, systemd in namespaces, systemd in a VM
	@bin/lab test $(TESTFLAGS)

.PHONY: try
try: toolchain lab ## run the examples on a throwaway systemd; VM=1: in a VM
	@bin/lab try $(if $(VM),-vm)

.PHONY: bench
bench: toolchain lab ## measure unitc beside its peers, into bin/bench; QUICK=1: in three minutes
	@bin/lab bench $(if $(QUICK),-quick) $(BENCHFLAGS)

.PHONY: bench-images
bench-images: build lab ## measure pulls, and starts from a large image, beside podman
	$(GO) run ./test/bench/pull -unitc $(BIN)/unitc -tree "$$(bin/lab tree peers)/root" $(PULLFLAGS)
	@bin/lab bench -rows '^image$$' -peers '^none$$' $(BENCHFLAGS)

.PHONY: clean
clean: ## remove build results (the lab's cache stays: bin/lab clean)
	rm -rf bin .lab
