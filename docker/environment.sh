#!/bin/bash
# environment.sh DESTDIR: lays Attune and every package that it runs on into a virtual environment of its own, DESTDIR/usr/lib/attune,
# for packages and images. Run by `make install-environment`.
#
# Variables:
#   PYTHON       the interpreter, at the path where the installed system has it too; the environment works with its version only
#   EXTRAS       which of pyproject.toml's extras come with it (calibration: without it nothing is learnt)
#   WHEELS       a folder with llama.cpp's wheel
#   TORCH_INDEX  a package index to take torch from
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# = 1 ] && [ -n "$1" ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
: "${PYTHON:?}" "${WHEELS:?}" "${EXTRAS=calibration}" "${TORCH_INDEX=}"
environment=$1/usr/lib/attune
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

case $("$PYTHON" -c 'import sys; print(sys.base_prefix)') in
  /usr) ;;
  *) echo "attune: $PYTHON is not the system's interpreter; services could not see it. Set PYTHON to one below /usr/bin" >&2; exit 1 ;;
esac

export PYTHONDONTWRITEBYTECODE=1
unset DEB_PYTHON_INSTALL_LAYOUT  # debhelper's, which has pip install to Debian's own folders
rm -rf "$environment"
"$PYTHON" -m venv "$environment"
pip() { "$environment/bin/python" -m pip --disable-pip-version-check "$@"; }

# A wheel of this project, made from a copy: setuptools leaves its work in the tree that it builds.
mkdir "$scratch/source" "$scratch/wheels"
cp -r pyproject.toml README.md LICENSE daemon engines calibration "$scratch/source"
find "$scratch/source" -name __pycache__ -prune -exec rm -rf {} +
pip wheel --quiet --no-deps --wheel-dir "$scratch/wheels" "$scratch/source"

install=(install --quiet --no-compile --constraint constraints.txt --find-links "$WHEELS")
if [ -n "$TORCH_INDEX" ]; then
  pip install --quiet --no-compile --no-deps --index-url "$TORCH_INDEX" "$(grep '^torch==' constraints.txt)"
fi
# By its path: the public index has another project of the same name.
wheel=$(echo "$scratch"/wheels/attune-*.whl)
pip "${install[@]}" "$wheel${EXTRAS:+[$EXTRAS]}"
pip check

# What nobody runs: other packages' commands and tests, headers to build against, static libraries, and where all this was made.
find "$environment/bin" -mindepth 1 ! -name 'python*' ! -name attune -delete
sed -i '1s|^.*$|#!/usr/lib/attune/bin/python|' "$environment/bin/attune"
packages=$(echo "$environment"/lib/python3.*/site-packages)
rm -rf "$packages"/{bin,include,lib,lib64}  # llama.cpp's, once more
rm -rf "$packages"/torch/{include,share} "$packages"/numpy/_core/include
find "$packages" \( -type d \( -name tests -o -name test \) -o -name '_*_tests.cpython*' \) -prune -exec rm -rf {} +
find "$packages"/torch/bin -type f ! -name torch_shm_manager -delete
find "$environment" \( -name '*.a' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.hpp' -o -name '*.cmake' -o -name '*.sh' \) -type f -delete
find "$environment" -name __pycache__ -prune -exec rm -rf {} +
rm -f "$packages"/attune-*.dist-info/direct_url.json
rm -rf "$environment/include" "$environment/lib64"
printf 'home = %s\ninclude-system-site-packages = false\nversion = %s\n' "$(dirname "$(readlink -f "$PYTHON")")" \
  "$("$PYTHON" -c 'import platform; print(platform.python_version())')" > "$environment/pyvenv.cfg"

# TensorRT comes with JetPack, to where this environment does not look.
if [ "$(uname -m)" = aarch64 ]; then
  ln -s "/usr/lib/$(basename "$(dirname "$packages")")/dist-packages/tensorrt" "$packages/tensorrt"
fi
find "$environment/lib" -type f -perm /111 ! -name torch_shm_manager -exec chmod a-x {} +
find "$packages" -name '*.py' -exec sed -i '1{/^#!/d}' {} +  # they are modules, whatever they say
chmod --recursive u+w,go+rX,go-w "$environment"

# It starts, with everything that it imports, from where it lies now.
"$environment/bin/python" -I -B -c 'import ctranslate2, llama_cpp, onnxruntime, sys; sys.argv = ["attune", "--version"]; from daemon.cli.__main__ import main; main()'
