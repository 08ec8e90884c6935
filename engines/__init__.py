"""Runs the models, and defines the formats on disk of what is run. Knows no torch, no SQLite, no
HTTP and no configuration files."""

import os

# numpy's BLAS threads go on spinning for milliseconds after each product, on the cores that the
# language model wants next: with two threads on two cores they tripled the time to its first token.
# Read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The threads of llama.cpp, CTranslate2 and torch spin at each barrier for milliseconds, and keep a
# thread that has yet to get there from its core. Beside busy programs 60 tokens took 72 to 94 s,
# and 8 to 10 s with this; on idle cores nothing changes. Read when libgomp is first loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "300")

# An empty HOME would mean the root folder, and a relative folder of XDG's whatever folder a process
# happens to stand in: both count as not set (XDG Base Directory Specification), for every library
# that looks for them.
for _name in (
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
):
    if not os.environ.get(_name, "/").startswith("/"):
        del os.environ[_name]

# ONNX Runtime's packages for Linux (1.29 and later) tell their maker about each session that is
# opened, unless this is set before they are imported. Nothing of anybody's home leaves it. The
# hub's client tells about itself likewise.
os.environ |= {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
