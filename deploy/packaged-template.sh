#!/usr/bin/env bash
# Prints the template for functions that are built: the code of each is a zip beside it, for one architecture.
set -euo pipefail
awk -v architecture="$1" '
  /^    Metadata:$/ { skipping = 1; next }
  skipping && /^      / { if ($1 == "BuildProperties:") { function_name = $4 } next }
  { skipping = 0 }
  $1 == "CodeUri:" { sub(/CodeUri: .*/, "CodeUri: " function_name ".zip") }
  $1 == "AllowedValues:" && /x86_64/ { sub(/\[.*\]/, "[" architecture "]") }
  $1 == "Default:" && $2 == "x86_64" { sub(/x86_64/, architecture) }
  { print }
' "$(dirname "$0")/../template.yaml"
