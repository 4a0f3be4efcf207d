#!/usr/bin/env bash
# Builds the three functions for Lambda into .aws-sam/, for `sam deploy`.
#
#   deploy/build.sh x86_64|arm64
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1-} in
  x86_64) target=() ;;
  arm64) target=(--arm64) ;;
  *)
    echo "'${1-}' is not an architecture: write x86_64 or arm64" >&2
    exit 2
    ;;
esac
# SAM builds one function after the other and shows nothing for minutes. So cargo builds all of them first, at once.
cargo lambda build --release ${target[@]+"${target[@]}"} --bin ingester --bin exporter --bin receiver
sam build --parameter-overrides "Architecture=$1"
