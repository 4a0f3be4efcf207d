#!/usr/bin/env bash
# Makes release/segment-s3-VERSION-ARCHITECTURE/: the three functions as zips, and a template that deploys them without Rust.
#
#   deploy/package.sh x86_64|arm64
set -euo pipefail
cd "$(dirname "$0")/.."
architecture=${1:?x86_64 or arm64}
case $architecture in
  x86_64) target=x86-64 ;;
  arm64) target=arm64 ;;
  *)
    echo "$architecture is not x86_64 or arm64" >&2
    exit 2
    ;;
esac
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
folder=release/segment-s3-$version-$architecture

cargo lambda build --release --locked "--$target" --output-format zip --bin ingester --bin exporter --bin receiver
rm -rf "$folder"
mkdir -p "$folder"
for function in ingester exporter receiver; do
  cp "target/lambda/$function/bootstrap.zip" "$folder/$function.zip"
  # provided.al2023 has glibc 2.34.
  newest=$(unzip -p "$folder/$function.zip" bootstrap | grep -ao 'GLIBC_2\.[0-9]*' | sort -uV | tail -1)
  if [ "$(printf '%s\n' GLIBC_2.34 "$newest" | sort -V | tail -1)" != GLIBC_2.34 ]; then
    echo "$function needs $newest, and Lambda has GLIBC_2.34" >&2
    exit 1
  fi
  # Lambda quotas: 50 MB, zipped. Ours have about 6.
  if [ "$(wc -c < "$folder/$function.zip")" -gt 20000000 ]; then
    echo "$folder/$function.zip has more than 20 MB" >&2
    exit 1
  fi
done
deploy/packaged-template.sh "$architecture" > "$folder/template.yaml"
cp -r deploy/destination-role.yaml deploy/source-account.yaml deploy/enable-eventbridge.sh deploy/forget.sh samconfig.example.toml "$folder/"
(cd "$folder" && sha256sum -- * > SHA256SUMS)
ls -l "$folder"
