#!/bin/sh
# Installs a Home Assistant into FOLDER, a system of its own: `install.sh FOLDER`. Needs root, debootstrap and a network.
# Home Assistant wants a Python that only Debian's unstable release has.
set -eu
folder=$1
version=2026.11.0
[ -x "$folder/ha/bin/hass" ] && exit 0
mirror=$(sed --quiet --regexp-extended 's/^(deb .*\] |deb |URIs: )(https?:[^ ]*).*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head --lines=1)
[ "$mirror" ] || { echo "apt names no mirror to take Debian's unstable release from" >&2; exit 1; }
mkdir --parents "$folder"
debootstrap --variant=minbase --include=python3.14-venv,python3.14-dev,gcc,g++,ca-certificates sid "$folder" "$mirror"
cp --dereference /etc/resolv.conf /etc/hosts "$folder/etc/"
mkdir --parents "$folder/etc/ssl/certs"
cp --dereference /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
chroot "$folder" python3.14 -m venv /ha
PIP_CERT=/etc/ssl/certs/ca-certificates.crt chroot "$folder" /ha/bin/pip install --quiet \
    "homeassistant==$version" wyoming==1.10.2
