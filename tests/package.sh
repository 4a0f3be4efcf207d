#!/usr/bin/env bash
# Packages the functions and tests the package: the newest glibc that they need, the size of the zips, the checksums, the
# template, and every example event against the bootstraps of the zips.
#
#   tests/package.sh x86_64|arm64 [PROFILE]
#
# PROFILE is a profile of Cargo: `quick` takes a few minutes, `release` is what is released.
set -euo pipefail
cd "$(dirname "$0")/.."
architecture=${1:?x86_64 or arm64} profile=${2:-quick}

# It checks glibc and sizes itself.
folder=$(deploy/package.sh "$architecture" "$profile")
(cd "$folder" && sha256sum --quiet --check SHA256SUMS)
cfn-lint "$folder"/*.yaml
PACKAGE=$PWD/$folder ARCHITECTURE=$architecture python3 -B -W ignore tests/template/package.py

if [ "$(uname -m)" != "${architecture/arm64/aarch64}" ]; then
  echo "the events are left out: this machine is $(uname -m), and the bootstraps are for $architecture" >&2
  exit 0
fi
bootstraps=target/bootstraps
rm -rf "$bootstraps"
mkdir -p "$bootstraps"
for zip in "$folder"/*.zip; do
  bootstrap=$bootstraps/$(basename "$zip" .zip)
  python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("bootstrap"))' "$zip" > "$bootstrap"
  chmod +x "$bootstrap"
done
# The stories of everything that can wake a function, with these in place of the debug builds.
BOOTSTRAPS=$bootstraps ${CARGO:-cargo} test --locked --workspace --test stories -- payloads:: receiver:: main_line::
