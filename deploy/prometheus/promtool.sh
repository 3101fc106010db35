#!/bin/sh
# promtool.sh DESTINATION: put promtool there, which tests the alert rules.
#
# It is on no package index that this project installs from. It is taken from this machine if it is
# there, else out of the package `prometheus` of Debian or Ubuntu, which apt downloads and checks
# against the archive's signature; nothing is installed, and nobody has to be root. Where neither is to
# be had it says so, and the tests that need it are skipped.
set -eu
destination=$1
[ ! -x "$destination" ] || exit 0
if here=$(command -v promtool); then
  ln -s "$here" "$destination"
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
lists=$scratch/lists
mkdir -p lists/partial cache/archives/partial

fetched() {
  apt-get -q -o Debug::NoLocking=1 "$@" download prometheus && [ -n "$(ls prometheus_*.deb)" ]
}
own() {
  set -- -o "Dir::State::lists=$lists" -o "Dir::Cache=$scratch/cache"
  apt-get -q -o Debug::NoLocking=1 "$@" update && fetched "$@"
}
if command -v apt-get && command -v dpkg-deb && { fetched || own; }; then
  dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
  mv usr/bin/promtool "$destination"
fi >/dev/null 2>&1 || true
if [ -x "$destination" ] && "$destination" --version >/dev/null 2>&1; then exit 0; fi
rm -f "$destination"
echo "promtool is not to be had here: the tests of the alert rules are skipped" >&2
