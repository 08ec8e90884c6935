# Attune: `make demo` and `make test` set everything up by themselves; a second run starts in seconds. `make help` lists the rest.
#
# Variables: VENV (folder of the virtual environment), PYTHON (the interpreter that makes it; 3.11 or newer), TORCH_INDEX (a package
# index to take torch from, such as PyTorch's own index of CPU builds: the default build brings gigabytes of CUDA on x86), TESTERS (how
# many processes share the tests; each takes up to 1.5 GB).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3 python3.14,$(shell $(name) -c \
    'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
TORCH_INDEX ?=
TESTERS ?= 2

# What Attune runs, and a C++ compiler for llama.cpp.
DEBIAN_PACKAGES := build-essential libportaudio2 espeak-ng flite fortunes asterisk-core-sounds-en-g722 asterisk-core-sounds-en
# For the tests: a microphone without a sound card, and the word lists that the scripts of corpora draw on.
TEST_PACKAGES := pulseaudio pulseaudio-utils libasound2-plugins wordnet-base wamerican systemd dbus
# Real people, to be told apart by their voices.
VOICES_OF_OTHERS := asterisk-core-sounds-es-g722 asterisk-core-sounds-fr-g722 asterisk-core-sounds-it-g722 asterisk-core-sounds-ru-g722 asterisk-prompt-it-menardi-wav
# For packages and images, built and looked at.
IMAGE_PACKAGES := debhelper help2man pkg-config python3-venv lintian debootstrap buildah

# llama.cpp is built for the CPU that it runs on, so its wheels are kept apart by instruction sets (pip's own cache would hand one
# machine's wheel to another), and a virtual environment that moves to another CPU gets another wheel.
CACHE := $(or $(ATTUNE__CACHE_DIR),$(if $(filter 0,$(shell id -u)),/var/cache/attune,$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/attune))
LLAMA := $(shell grep '^llama-cpp-python==' constraints.txt)
CPU := $(shell { uname -m; grep -m2 -E '^(model name|flags|Features)' /proc/cpuinfo; } | sha256sum | cut -c1-12)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CODE := daemon engines calibration tests

.PHONY: help
help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: demo
demo: ready ## Set everything up and show the loop on a speaker with atypical speech (minutes)
	$(BIN)/attune demo

.PHONY: demo-full
demo-full: ready ## The same on a clear speaker as well, judged by more requests (about 25 minutes)
	$(BIN)/attune demo --full

.PHONY: test
test: ready ## Set everything up and pass the tests (minutes)
	$(BIN)/pytest --numprocesses $(TESTERS) --dist worksteal

.PHONY: test-slow
test-slow: ready ## Pass what `make test` leaves out: whole rounds, real training, benchmarks (about twenty minutes)
	$(BIN)/pytest -m slow

.PHONY: thorough
thorough: test test-slow ## Pass the tests and the slow tests

.PHONY: test-system
test-system: ready ## As root: run the units on a real systemd, in namespaces of its own (about ten minutes)
	$(BIN)/pytest -m system tests/system

.PHONY: test-images
test-images: TEST_PACKAGES += $(IMAGE_PACKAGES)
test-images: ready deb ## As root: build the packages and the container image, and try both in bare systems (about forty minutes)
	$(BIN)/pytest -m images tests/images

.PHONY: test-homeassistant
test-homeassistant: ready ## As root: run a real Home Assistant beside a daemon (a gigabyte and five minutes the first time)
	$(BIN)/pytest -m homeassistant tests/homeassistant

.PHONY: pictures
pictures: TEST_PACKAGES += debootstrap chromium pngquant
pictures: ready ## As root: take the pictures of a real Home Assistant with Attune in it (as test-homeassistant; needs npm)
	$(BIN)/python -m tests.homeassistant.pictures

.PHONY: test-clients
test-clients: ready ## Use a daemon with OpenAI's own client, and with requests made from its OpenAPI document (about eight minutes)
	$(BIN)/pytest -m clients tests/clients

.PHONY: poison
poison: ready ## Teach false labels of six kinds, and see whether what is served gets worse (about two hours)
	$(BIN)/python -m tests.bench.poison

.PHONY: kills
kills: ready ## Kill the child 200 times, the daemon 50 times, cut its power 25 times, and count what is lost (about forty minutes)
	$(BIN)/python -m tests.bench.kills

.PHONY: bench-budget
bench-budget: ready ## Run rounds under budgets of 1.0, 1.5, 2 and 3 GiB and sample what they take (about fifteen minutes)
	$(BIN)/attune calibrate memory
	$(BIN)/python -m tests.bench.budget

.PHONY: bench-consent
bench-consent: ready ## Let a daemon hear an hour of speech without consent, and look for it in every file (about twenty minutes)
	$(BIN)/python -m tests.bench.nothing_kept --minutes 60

.PHONY: bench-store
bench-store: ready ## Measure how long the store takes to open, count and list with 1,000 and 100,000 utterances (about three minutes)
	$(BIN)/python -m tests.bench.store

.PHONY: bench-precision
bench-precision: ready ## Measure the encoder's other precisions on every recorded prompt (about ten minutes)
	$(BIN)/python -m tests.bench.precision

.PHONY: bench
bench: ready ## Measure what training costs a speaker, and kill it twenty times (about twenty minutes)
	$(BIN)/python -m tests.bench.adaptation

.PHONY: bench-long-speech
bench-long-speech: ready ## Ask utterances of 20 to 29 s, whole and cut, idle and beside two busy programs (about ten minutes)
	$(BIN)/python -m tests.bench.long_speech
	$(BIN)/python -m tests.bench.long_speech --busy 2 --paragraphs 1

.PHONY: bench-spoken
bench-spoken: ready ## Talk with a daemon through a loudspeaker that its microphone hears (about forty minutes)
	$(BIN)/python -m tests.bench.spoken --speaker clear --speaker atypical

.PHONY: bench-end-of-turn
bench-end-of-turn: ready ## Let somebody who pauses finish, and answer a quick speaker (about half an hour)
	$(BIN)/python -m tests.bench.end_of_turn

.PHONY: bench-network
bench-network: ready ## Compare HTTP and Wyoming with the control socket, and let eight clients in at once (about twenty minutes)
	$(BIN)/python -m tests.bench.network

.PHONY: bench-encryption
bench-encryption: ready ## Measure what encryption costs a turn and a round (about twenty minutes)
	$(BIN)/python -m tests.bench.encryption

.PHONY: bench-voiceprint
bench-voiceprint: TEST_PACKAGES += $(VOICES_OF_OTHERS)
bench-voiceprint: ready ## Tell thirteen voices apart that nothing was fitted to, in five noises (about twenty minutes)
	$(BIN)/python -m tests.bench.voiceprint

.PHONY: bench-speculation
bench-speculation: ready ## Hear 200 turns with and without answers that are begun early (about half an hour)
	$(BIN)/python -m tests.bench.speculation

.PHONY: bench-wake
bench-wake: ready ## Call in the voices of three atypical speakers, and listen to an hour of others (about half an hour)
	$(BIN)/python -m tests.bench.wake --ready-made okay_nabu --ready-made hey_jarvis

.PHONY: bench-abilities
bench-abilities: ready ## Say 762 requests in the voice of an atypical speaker, and see what comes of them (about twenty minutes)
	$(BIN)/python -m tests.bench.abilities

.PHONY: bench-scale
bench-scale: ready ## Run rounds on stores of 100, 1,000 and 5,000 utterances, and plan one with 100,000 (about an hour)
	$(BIN)/python -m tests.bench.scale

.PHONY: endurance
endurance: ready ## Live a month of simulated days, a round each night, and see that nothing grows without an end (about forty minutes)
	$(BIN)/python -m tests.bench.endurance

.PHONY: run
run: ready ## Run the daemon in the foreground
	$(BIN)/attune serve

.PHONY: setup
setup: ready ## Set everything up

.PHONY: lint
lint: $(VENV)/.installed ## Check style, formatting and the layers
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/lint-imports

.PHONY: types
types: $(VENV)/.installed ## Check the types
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.installed ## Format the code and sort its imports
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

.PHONY: base
base: ready ## Make a corpus and train base projector and base recogniser anew (many hours; for maintainers)
	$(BIN)/attune models fetch kokoro-82m piper-joe
	$(BIN)/attune align corpus --out build/corpus
	$(BIN)/attune align train build/corpus --out build/base --minutes 240
	$(BIN)/attune align corpus --out build/corpus-recogniser --written 0 --no-coverage --seed 1
	$(BIN)/attune align recogniser build/corpus-recogniser --out build/base-recogniser --minutes 240

.PHONY: clean
clean: ## Remove the virtual environment and what was built; models and state stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

# --- set-up, step by step ---

# Both commands return at once where everything is there and intact.
.PHONY: ready
ready: $(VENV)/.installed
	@$(BIN)/attune models fetch
	@$(BIN)/attune engines build

.PHONY: debian
debian:
	@command -v dpkg-query apt-get >/dev/null || { echo "attune: this set-up needs Debian or Ubuntu (apt)" >&2; exit 1; }
	@missing=$$(for package in $(DEBIAN_PACKAGES) $(TEST_PACKAGES); do \
	    dpkg-query --show --showformat='$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || echo $$package; \
	  done | xargs); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then as_root=env; elif sudo -n true 2>/dev/null; then as_root='sudo -n env'; else \
	    echo "attune: Debian packages are missing; run: sudo apt-get install --no-install-recommends $$missing" >&2; exit 1; fi; \
	  $$as_root apt-get update; \
	  $$as_root DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $$missing; \
	fi

$(BIN)/python: | debian
	@[ -n "$(PYTHON)" ] || { echo "attune: no Python 3.11 or newer with venv; run: sudo apt-get install python3 python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# $(call llama_wheel,FLAGS): sets the shell's $$wheels to a folder with llama.cpp's wheel for these flags; it is built where it is not there,
# by these flags alone: not by DESTDIR or the flags that a package is built with.
define llama_wheel
flags="$(1)"; \
	wheels=$(CACHE)/wheels/$$(echo "$(LLAMA) $$flags" | sha256sum | cut -c1-12); \
	if ! ls $$wheels/*.whl >/dev/null 2>&1; then \
	  echo "Building llama.cpp ($$flags); this takes minutes, once."; \
	  mkdir -p $$wheels; building=$$(mktemp -d $$wheels/.building-XXXXXX); \
	  env --unset=DESTDIR --unset=CFLAGS --unset=CXXFLAGS --unset=CPPFLAGS --unset=LDFLAGS CMAKE_ARGS="$$flags" \
	    $(2) wheel --quiet --no-deps --no-cache-dir --wheel-dir $$building '$(LLAMA)'; \
	  mv $$building/*.whl $$wheels/; rmdir $$building; \
	fi
endef

$(VENV)/.llama-$(CPU): constraints.txt engines/device/cpu_features.py | $(BIN)/python
	$(call llama_wheel,$$($(BIN)/python -m engines.device.cpu_features),$(PIP)); \
	$(PIP) install --quiet --force-reinstall --no-deps $$wheels/*.whl
	rm -f $(VENV)/.llama-*
	touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.llama-$(CPU) | debian
	$(if $(TORCH_INDEX),$(PIP) install --quiet --no-deps --index-url $(TORCH_INDEX) "$$(grep '^torch==' constraints.txt)")
	$(PIP) install --quiet --constraint constraints.txt --editable '.[calibration,dev]'
	touch $@

# --- what packages and images are made of, below DESTDIR ---

# SYSTEM_PYTHON: the interpreter that the installed system has at the same path. EXTRAS: what comes with Attune. UNITS: where systemd looks for units.
# LLAMA_FLAGS: CMake's for llama.cpp, in place of those with which it runs on every machine that packages are for.
SYSTEM_PYTHON ?= /usr/bin/python3
EXTRAS ?= calibration$(if $(filter aarch64,$(shell uname -m)),$(COMMA)tensorrt)
UNITS ?= /usr/lib/systemd/system
LLAMA_FLAGS ?=
DESTDIR ?=
ATTUNE ?= attune
COMMA := ,
PLACE = install -D --mode=644 --target-directory=$(DESTDIR)

.PHONY: install
install: install-environment install-units install-documents ## For packages: everything but the models, below DESTDIR

.PHONY: install-environment
install-environment: ## For packages: Attune in an environment of its own, below DESTDIR
	[ -x build/pip/bin/pip ] || $(SYSTEM_PYTHON) -m venv build/pip
	$(call llama_wheel,$(or $(LLAMA_FLAGS),$$($(SYSTEM_PYTHON) -m engines.device.cpu_features --portable)),build/pip/bin/pip); \
	PYTHON=$(SYSTEM_PYTHON) EXTRAS=$(EXTRAS) WHEELS=$$wheels TORCH_INDEX=$(TORCH_INDEX) docker/environment.sh $(DESTDIR)
	install -d $(DESTDIR)/usr/bin
	ln -sf ../lib/attune/bin/attune $(DESTDIR)/usr/bin/attune

.PHONY: install-units
install-units: ## For packages: the units and what belongs to them, below DESTDIR
	$(PLACE)$(UNITS) systemd/attune*.service systemd/attune*.path systemd/attune*.timer systemd/attune.slice systemd/attune.socket
	$(PLACE)/usr/lib/systemd/system-preset systemd/system-preset/*
	$(PLACE)/usr/lib/systemd/user systemd/user/*
	$(PLACE)/usr/lib/sysusers.d systemd/sysusers.d/*
	$(PLACE)/usr/lib/tmpfiles.d systemd/tmpfiles.d/*
	$(PLACE)/etc/attune systemd/attune.toml
	install -d $(DESTDIR)/etc/attune/attune.toml.d

.PHONY: install-documents
install-documents: ## For packages: man pages and completions of what install-environment laid down, below DESTDIR
	docker/documents.sh $(DESTDIR)

.PHONY: install-models
install-models: ## For packages: the models that are needed, below DESTDIR, fetched by the command ATTUNE
	ATTUNE__CACHE_DIR=$(DESTDIR)/usr/share/attune $(ATTUNE) models fetch
	rm -rf $(DESTDIR)/usr/share/attune/verified

# Debian's tools build a copy: they leave their work in the tree that they build.
.PHONY: deb
deb: ## Build the packages attune and attune-models for this system, into build/deb
	rm -rf build/deb
	mkdir -p build/deb/source
	cp -r Makefile pyproject.toml constraints.txt README.md LICENSE CHANGELOG.md daemon engines calibration systemd docker build/deb/source
	cp -r docker/debian build/deb/source
	cd build/deb/source && ATTUNE__CACHE_DIR=$(CACHE) dpkg-buildpackage --build=binary --unsigned-source --unsigned-changes
	rm -rf build/deb/source
