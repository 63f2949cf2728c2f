# verify only reads, fix only writes. Everything else is one question asked of the tree.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

SEEDS ?= 1000
FUZZTIME ?= 60s

.PHONY: build verify fix test race sim faults twins soak mutants fuzz e2e crash powercut attack smoke man checker browser

# One static binary, ./quorate.
build:
	CGO_ENABLED=0 go build -trimpath -o quorate ./cmd/quorate

# What must hold before every commit. The house rules (arrows, purity) are among the unit tests.
verify:
	unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fix):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	go test ./...
	go run ./cmd/quorate sim --from 1 --seeds 100

fix:
	go test ./internal/house -run "^TestThePageOfCasesIsTrue$$" -rewrite
	go fix ./...
	gofmt -w .

test:
	go test ./...

# Needs a C compiler.
race:
	CGO_ENABLED=1 go test -race ./...

# Random exploration from seed 1; `quorate sim --from SEED --seeds 1` repeats one.
sim:
	go run ./cmd/quorate sim --from 1 --seeds $(SEEDS)

# Every fault script: on a hundred simulated networks, and once on processes. OUT: a folder for the reports, a new one if it is left out; SCRIPTS:
# some of them.
faults: OUT ?=
faults: SCRIPTS ?=
faults: build
	.ci/faults ./quorate 100 "$(or $(OUT),$$(mktemp -d -t quorate-faults-XXXXXX))" $(SCRIPTS)

# All ways to part a pair of twins from the other members over three views.
twins:
	go run ./cmd/quorate sim --twins

# An hour of virtual time: overload, and a member whose links flap. Takes 12 GiB: simulated disks keep all blocks.
soak:
	GOMEMLIMIT=12GiB QUORATE_SOAK=1 go test -count=1 -v -timeout 1h -run '^Test(Overload|AFlappingBackup)' ./testnet/sim

# Every planted bug must be found by the checker that its patch names.
mutants:
	go run ./testnet/mutants

# Every fuzz target for FUZZTIME, one after the other.
fuzz:
	ran=0; packages=$$(go list ./...); \
	for package in $$packages; do \
		listed=$$(go test -list '^Fuzz' $$package); \
		for target in $$(grep '^Fuzz' <<<"$$listed" || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$package; \
			ran=$$((ran + 1)); \
		done; \
	done; \
	if [ $$ran = 0 ]; then echo "no fuzz target was found"; exit 1; fi; \
	echo "$$ran fuzz targets ran for $(FUZZTIME) each"

# Real processes under kill -9 and load: minutes, so not among the unit tests.
e2e:
	QUORATE_E2E=1 go test -count=1 -v -timeout 60m -run "^TestEndToEnd" ./cmd/quorate

# A network and its clients in one process, killed so many times: nothing that was acknowledged is lost. The seed is printed;
# QUORATE_SEED repeats the choices, though not what the machine makes of them.
crash: ROUNDS ?= 50
crash:
	QUORATE_E2E=1 QUORATE_ROUNDS=$(ROUNDS) go test -count=1 -v -timeout 2h -run '^TestEndToEndManyKills' ./cmd/quorate

# The power of all four nodes cut so many times, on ext4 in images: needs root.
powercut: ROUNDS ?= 10
powercut:
	QUORATE_E2E=1 QUORATE_ROUNDS=$(ROUNDS) go test -count=1 -v -timeout 2h -run '^TestEndToEndPowerCut' ./cmd/quorate

# Every attack of a stranger, from a network namespace of its own, for so many seconds each: needs root.
attack: SECONDS_EACH ?= 60
attack:
	QUORATE_E2E=1 QUORATE_SECONDS=$(SECONDS_EACH) go test -count=1 -v -timeout 2h -run '^TestEndToEndStranger' ./cmd/quorate

# The README's tour on the built binary.
smoke: build
	.ci/smoke ./quorate

# The manual pages, docs/man, from the commands. A test keeps them in step.
man:
	go test ./cmd/quorate -run '^TestTheManualIsOfTheseCommands$$' -rewrite

# The independent checker on 20,000 live transactions. Needs Node.js.
checker:
	QUORATE_E2E=1 go test -count=1 -v -timeout 10m -run "^TestEndToEndIndependentChecker$$" ./cmd/quorate

# The report of a fault script's run in Debian's Chromium, which is installed if there is none. SCREENSHOTS: a folder for pictures.
browser: SCREENSHOTS ?=
browser:
	command -v chromium >/dev/null || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }
	QUORATE_BROWSER=1 QUORATE_SCREENSHOTS="$(abspath $(SCREENSHOTS))" go test -count=1 -v -timeout 10m -run '^TestBrowser' ./testnet/scenario
