#!/bin/sh
# Installs the pinned libraries below target/clients and runs the story that sends with them.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p target/clients
cp tests/clients/package.json tests/clients/package-lock.json tests/clients/send.cjs tests/clients/send.py \
    tests/clients/browser.mjs target/clients/
(cd target/clients && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
[ -x target/clients/venv/bin/python ] || python3 -m venv target/clients/venv
target/clients/venv/bin/pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
exec "${CARGO:-cargo}" test --locked --workspace --test clients -- --ignored --nocapture
