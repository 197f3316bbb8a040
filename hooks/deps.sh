#!/bin/sh
# Installs the Debian packages that building and testing need.
#
# Shell and not python3, since python3 is one of them.  On Debian 12 a newer
# meson comes from bookworm-backports, through package lists of our own, so
# that the machine's apt configuration stays as it is.
#
# With --check nothing is installed: exit status 1 when something is missing.
#
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
export LC_ALL=C.UTF-8

# To get and build QEMU.
packages='build-essential ccache dpkg-dev debian-archive-keyring
ca-certificates patch xz-utils pkg-config ninja-build flex bison
python3 python3-venv python3-setuptools libglib2.0-dev libpixman-1-dev
libfdt-dev libslirp-dev libiscsi-dev libgnutls28-dev zlib1g-dev
libxxhash-dev'
# Firmware of the machine.
packages="$packages seabios qemu-system-data ipxe-qemu"
# To make the demo's guest and networks, and to run the tests.
packages="$packages git cpio iproute2 iputils-ping e2fsprogs procps util-linux
faketime man-db"
# iSCSI targets, for tests.
packages="$packages tgt istgt"
# The model of the protocol.
packages="$packages spin"
# The fuzzers.
packages="$packages clang libclang-rt-dev"

# QEMU 10.0 asks for meson 1.5; Debian 12 has 1.0.
meson_packages='meson python3-pycotap'

say() {
    echo "deps: $*"
}

fail() {
    say "error: $*" >&2
    exit 1
}

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_of() {
    for name in "$@"; do
        installed "$name" || printf '%s ' "$name"
    done
}

meson_is_new() {
    /usr/bin/python3 -c '
import sys
from mesonbuild.coredata import version
sys.exit(tuple(map(int, version.split(".")[:2])) < (1, 5))' 2>/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y --no-install-recommends "$@"
}

install_from_machine() {
    # The machine's lists may be missing, or older than its mirror.
    # shellcheck disable=SC2086
    apt_install install $1 || {
        say 'asking for fresh package lists'
        as_root apt-get -q update && apt_install install $1
    } || fail "apt-get couldn't install: $1; see its messages above"
}

# The tests start targets of their own; what Debian starts with the packages
# would listen to the whole network.  A target that was here before stays.
rest_services() {
    [ -d /run/systemd/system ] || return 0
    for service in tgt istgt; do
        case " $missing " in
        *" $service "*)
            as_root systemctl disable --now --quiet "$service" &&
                say "the service $service was not left running" ;;
        esac
    done
    return 0
}

install_from_backports() {
    private=$(mktemp -d)
    trap 'as_root rm -rf "$private"' EXIT
    chmod 755 "$private"
    mkdir -p "$private/lists/partial"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=${QEMU_FT_MIRROR:-http://deb.debian.org/debian}
    echo "deb [signed-by=$keyring] $mirror bookworm-backports main" \
        >"$private/backports.list"
    set -- -o "Dir::Etc::sourcelist=$private/backports.list" \
        -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$private/lists" \
        -o APT::Sandbox::User=root
    # shellcheck disable=SC2086
    as_root apt-get -q "$@" update &&
        apt_install "$@" install -t bookworm-backports $meson_packages ||
        fail "apt-get couldn't install from bookworm-backports:" \
            "$meson_packages; see its messages above"
}

command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
    fail "this is no Debian (there is no apt-get); install what" \
        "provides: $packages $meson_packages"

# shellcheck disable=SC2086
missing=$(missing_of $packages)
# shellcheck disable=SC2086
missing_meson=$(missing_of $meson_packages)
if [ -n "$missing_meson" ] || ! meson_is_new; then
    missing_meson=$meson_packages
fi

if [ -z "$missing$missing_meson" ]; then
    [ "${1:-}" = --check ] || say 'everything needed is installed'
    exit 0
fi
say "missing: $missing$missing_meson"
[ "${1:-}" != --check ] || exit 1

. /etc/os-release
if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    from=
    [ "${VERSION_ID:-}" != 12 ] || [ -z "$missing_meson" ] ||
        from=' (meson and python3-pycotap from bookworm-backports)'
    fail "only root may install packages; as root, run:
  apt-get install $missing$missing_meson$from"
fi

[ -z "$missing" ] || install_from_machine "$missing"
rest_services
if [ -n "$missing_meson" ]; then
    case ${VERSION_ID:-} in
    12) install_from_backports ;;
    *) install_from_machine "$missing_meson" ;;
    esac
    meson_is_new ||
        fail "/usr/bin/python3 finds no meson of 1.5 or newer;" \
            "install one (Debian 13 has it, Debian 12 in bookworm-backports)"
fi
say 'everything needed is installed'
