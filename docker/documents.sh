#!/bin/bash
# documents.sh DESTDIR: man pages and completions of the Attune in DESTDIR/usr/lib/attune. Run by `make install-documents`; needs help2man.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# = 1 ] && [ -n "$1" ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
pages=$1/usr/share/man/man1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# It lies elsewhere than it will: by the name that its help and its completions shall show.
printf '#!/bin/sh\nexec "%s" -I -B -c "import sys; sys.argv[0] = \\"attune\\"; from daemon.cli.__main__ import main; main()" "$@"\n' \
  "$(realpath "$1")/usr/lib/attune/bin/python" > "$scratch/attune"
chmod +x "$scratch/attune"
export PYTHONDONTWRITEBYTECODE=1 PATH=$scratch:$PATH LC_ALL=C.UTF-8 TYPER_USE_RICH=0 SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(stat -c %Y pyproject.toml)}"

mkdir -p "$pages"
commands=$(attune --help | sed -n '/^Commands:/,$ s/^  \([a-z][a-z-]*\) .*/\1/p')
page() { help2man --no-info --version-string="$(attune --version)" --name="$1" "${@:3}" --output="$pages/$2"; }
page "a voice assistant that learns its user's voice" attune.1 --include=docker/attune.h2m attune
for command in $commands; do
  page "$command, a command of Attune" "attune-$command.1" "attune $command"
done
sed -i -E "s/^\.IP\n?$//" "$pages"/*.1

place() { install -D --mode=644 /dev/stdin "$1"; }
_ATTUNE_COMPLETE=source_bash attune | place "$1/usr/share/bash-completion/completions/attune"
_ATTUNE_COMPLETE=source_zsh attune | place "$1/usr/share/zsh/vendor-completions/_attune"
_ATTUNE_COMPLETE=source_fish attune | place "$1/usr/share/fish/vendor_completions.d/attune.fish"
