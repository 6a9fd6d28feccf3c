# vmm: build, run, test, measure. `make help` lists the targets.

GO        ?= go
BIN       := bin
OUT       := out
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
export CGO_ENABLED := 0
# Two builds side by side on two cores only get in each other's way.
export GOFLAGS := -trimpath
# A heap of some hundred KiB would take 4 MiB where the kernel gives every mapping huge pages; GODEBUG is read too early to be set by the program.
LDFLAGS   := -s -w -X main.version=$(VERSION) -X runtime.godebugDefault=disablethp=1
FUZZTIME  ?= 30s

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: setup-bench ## install what is missing on this machine (Debian packages; needs root or sudo)

.PHONY: setup-run setup-session setup-test setup-boots setup-viewers setup-bench setup-kernel
setup-run setup-session setup-test setup-boots setup-viewers setup-bench setup-kernel:
	@sh images/setup.sh $(@:setup-%=%)

.PHONY: build
build: ## build bin/vmm, one static binary
	@mkdir -p $(BIN)
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/vmm ./cmd/vmm

.PHONY: demo
demo: setup-run ## make the demo machine, out/chromeos; FRESH=1 forgets what its guest wrote
	@mkdir -p $(BIN)
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/vmm ./images/demo
	@# A revision in the guest's init would make a new root disk of each commit.
	$(GO) build -buildvcs=false -ldflags '-s -w' -o $(BIN)/init ./images/guest/init
	$(BIN)/demo build $(if $(FRESH),--fresh) --init $(BIN)/init $(OUT)/chromeos

.PHONY: run
run: demo ## boot the demo machine: console on a terminal, self-check without one
	$(BIN)/demo run --vmm $(BIN)/vmm $(OUT)/chromeos

.PHONY: image-browser
image-browser: setup-run build ## make the browser machine, out/browser/chromeos.vmx (fetches 227 MB of packages once); KERNEL=out/kernel-browser puts the small kernel in
	$(BIN)/vmm image build browser $(OUT)/browser $(if $(KERNEL),--kernel $(KERNEL))

.PHONY: kernel-browser
kernel-browser: setup-kernel build ## compile a small kernel for the browser machine, once (a quarter of an hour on two cores; fetches 140 MB)
	$(BIN)/vmm image build kernel $(OUT)/kernel-browser

.PHONY: session-machines
session-machines: setup-session # of demo-session
	@mkdir -p $(BIN)
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/vmm ./images/demo
	$(GO) build -buildvcs=false -ldflags '-s -w' -o $(BIN)/init ./images/guest/init
	$(BIN)/demo build-session $(if $(FRESH),--fresh) --init $(BIN)/init $(OUT)/session

.PHONY: demo-session
demo-session: session-machines ## two machines on one screen, in a browser tab: F4 turns from one to the other; in front is the browser machine, if it was made; VNC=1 serves VNC viewers as well, WINDOW=1 opens a window on $DISPLAY
	@front=$(OUT)/browser/chromeos.vmx; [ -e $$front ] || front=$(OUT)/session/quick.vmx; set -x; \
	$(BIN)/vmm session --nested=auto --run-option=--timeline --web $(if $(VNC),--vnc) $(if $(WINDOW),--window) $$front $(OUT)/session/pc.vmx

.PHONY: demo-browser
demo-browser: image-browser ## the same with the browser machine in front
	@$(MAKE) demo-session

.PHONY: test
test: setup-test build ## every test: plain, payloads on /dev/kvm, real guests in the nested host
	$(GO) run ./internal/testsuite

.PHONY: race
race: ## the tests that can run under the race detector (needs gcc)
	CGO_ENABLED=1 $(GO) test -race ./...

.PHONY: bench
bench: setup-bench demo ## measure against QEMU, gokvm and C, side by side; BENCHFLAGS="-only block" chooses
	$(GO) run ./internal/bench $(BENCHFLAGS)

.PHONY: bench-browser
bench-browser: image-browser ## measure first and second starts of the browser machine, to its page; with the small kernel, too, if it was made
	$(GO) run ./internal/bench -only instant -vmx $(OUT)/browser/chromeos.vmx $(if $(wildcard $(OUT)/kernel-browser/kernel.json),-kernel $(OUT)/kernel-browser) $(BENCHFLAGS)

.PHONY: bench-disk
bench-disk: setup-bench build ## measure the disk tools against qemu-img, on the same files
	$(GO) run ./internal/bench/disk $(BENCHFLAGS)

.PHONY: soak
soak: setup-test demo ## 100 boots in a row without a failure or a leak
	$(GO) run ./internal/testsuite -soak 100

.PHONY: soak-snapshots
soak-snapshots: setup-test build ## suspend a machine under load 50 times in a row and have it go on
	$(GO) run ./internal/testsuite -soak-snapshots 50

.PHONY: matrix
matrix: setup-test build ## boot a real Debian on every controller, by BIOS and UEFI, from VMDK and VHDX, and work its devices; RUN=TestDebian/nvme chooses (needs root once; an hour)
	$(GO) run ./internal/testsuite -matrix $(if $(RUN),-run '$(RUN)')

.PHONY: test-kiosk
test-kiosk: setup-test build ## show a session on the screen of a host without a desktop, by two kinds of graphics cards (some minutes)
	$(GO) run ./internal/testsuite -kiosk

.PHONY: test-browser
test-browser: setup-test image-browser ## use the browser machine: a page, keys, clicks, a download, a snapshot, and no byte of its folder changed
	$(GO) run ./internal/testsuite -browser $(OUT)/browser

.PHONY: test-viewers
test-viewers: setup-viewers ## the tests of VNC, the web page and the window with TigerVNC, Chromium and Xvfb, which make test skips where they are missing (110 MB of packages)
	$(GO) run ./internal/testsuite -viewers

.PHONY: firmware-matrix
firmware-matrix: setup-boots build ## boot other people's programs by BIOS and UEFI: memtest86+ by GRUB from a disc, iPXE from the network, the EFI shell, Debian's installer, systemd-boot, what Secure Boot verifies and a TPM measures; RUN=TestBootsMemtest chooses
	$(GO) run ./internal/testsuite -matrix -run '$(or $(RUN),TestBoots|TestFirmware|TestSecureBoot)'

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (default 30s) each
	$(GO) run ./internal/testsuite -fuzz $(FUZZTIME)

.PHONY: hostile
hostile: setup-test build ## have a hostile guest attack its machine for TIME (default 10m)
	$(GO) run ./internal/testsuite -hostile $(or $(TIME),10m)

.PHONY: lint
lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'gofmt would change:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

.PHONY: man
man: build ## print the manual page
	@$(BIN)/vmm man

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN) $(OUT)
