#!/usr/bin/env bash
# Sets up what a make target needs: scripts/setup.sh [python] [fonts] [browser] [mdb] [postgis]
#
# python   .venv from requirements.lock, every file checked by its hash, with Taotu itself editable;
#          done again only when the lock, pyproject.toml or the place of the checkout has changed.
# others   system packages, installed where this user may; else one line says what is missing, and
#          the work goes on: what needs it skips or does without.
#
# PYTHON=/path/to/python chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# --- system packages -------------------------------------------------------------------------------

as_root=""
may_install() {
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1
        as_root="sudo -n"
    fi
}

apt_install() {
    may_install || return 1
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    # The list of packages may be absent (a fresh image) or old, so it is renewed once and tried again.
    # shellcheck disable=SC2086 # as_root is no word or two words, meant to be split
    {
        $as_root "${apt[@]}" install -y --no-install-recommends "$@" ||
            { $as_root "${apt[@]}" update && $as_root "${apt[@]}" install -y --no-install-recommends "$@"; }
    } </dev/null >&2
}

# need WHAT TEST PACKAGE... : installs the packages unless TEST, a function, succeeds; never fails.
need() {
    local what=$1 present=$2
    shift 2
    if "$present"; then return; fi
    if may_install; then
        say "installing $what ($*) ..."
        if apt_install "$@" && "$present"; then return; fi
    fi
    say "no $what here, and no right or way to install it; on Debian or Ubuntu: sudo apt-get install $*"
}

# Output is read whole before it is searched: under pipefail a reader that stops early fails the pipe.
has_fonts() {
    local found
    command -v fc-list >/dev/null && found=$(fc-list :lang=zh family) && [ -n "$found" ]
}
has_browser() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }
has_mdb() { command -v mdb-export >/dev/null; }
has_postgis() {
    local found=(/usr/share/postgresql/*/extension/postgis.control)
    [ -e "${found[0]}" ]
}

# --- Python ----------------------------------------------------------------------------------------

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Sets interpreter to the first Python that is new enough and can make a virtual environment.
find_python() {
    local candidate new_enough=""
    interpreter=""
    for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3; do
        is_new_enough "$candidate" || continue
        new_enough=$candidate
        if can_make_venv "$candidate"; then
            interpreter=$candidate
            return 0
        fi
    done
    lacking="Python 3.11 or newer"
    [ -z "$new_enough" ] || lacking="the venv module of $new_enough"
    return 1
}

fingerprint() {
    pwd
    cksum requirements.lock pyproject.toml
}

set_up_python() {
    local stamp=.venv/stamp
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ] && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    if ! { [ -x .venv/bin/python ] && is_new_enough .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
        if ! find_python; then
            { may_install && say "$lacking is missing: installing python3 and python3-venv ..." &&
                apt_install python3 python3-venv && find_python; } ||
                fail "$lacking is missing. On Debian or Ubuntu: sudo apt-get install python3 python3-venv; or name one: make PYTHON=/path/to/python3.12"
        fi
        say "making .venv with $interpreter ($("$interpreter" --version 2>&1)) ..."
        "$interpreter" -m venv --clear .venv
    fi
    say "installing what requirements.lock names ..."
    local pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input -qq)
    # What is never imported need not be compiled: half the time of a fresh install.
    "${pip[@]}" install --no-compile --require-hashes --requirement requirements.lock ||
        fail "pip could not install requirements.lock (no network? see above)"
    # --force-reinstall: its launchers name the place of the checkout, which may have moved.
    "${pip[@]}" install --no-deps --no-build-isolation --no-index --force-reinstall --editable .
    fingerprint >"$stamp"
}

# ---------------------------------------------------------------------------------------------------

for part in "${@:-python}"; do
    case $part in
        python) set_up_python ;;
        fonts) need "Chinese font" has_fonts fontconfig fonts-noto-cjk ;;
        browser) need "Chromium browser (tests of the web map)" has_browser chromium ;;
        mdb) need "mdbtools (cross-check of .mdb reading)" has_mdb mdbtools ;;
        # Tests start a server of their own from these programs, in a temporary folder.
        postgis) need "PostgreSQL with PostGIS (the store's second database)" has_postgis postgresql-postgis ;;
        *) fail "unknown part $part: python, fonts, browser, mdb, postgis" ;;
    esac
done
