#!/usr/bin/env bash
# Makes a folder with the three functions as zips, and a template that deploys them without Rust. It prints the folder's
# name: release/segment-s3-VERSION-ARCHITECTURE. With another profile of Cargo than `release` the folder is under target/,
# since it is for tests.
#
#   deploy/package.sh x86_64|arm64 [PROFILE]
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
profile=${2:-release}
parent=release
if [ "$profile" != release ]; then
  parent=target/$profile-package
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
folder=$parent/segment-s3-$version-$architecture

# The program in a zip. Python is there with cargo-lambda, and unzip need not be.
bootstrap_of() {
  python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("bootstrap"))' "$1"
}

cargo lambda build --profile "$profile" --locked "--$target" --output-format zip --bin ingester --bin exporter --bin receiver >&2
rm -rf "$folder"
mkdir -p "$folder"
for function in ingester exporter receiver; do
  cp "target/lambda/$function/bootstrap.zip" "$folder/$function.zip"
  # provided.al2023 has glibc 2.34.
  newest=$(bootstrap_of "$folder/$function.zip" | grep -ao 'GLIBC_2\.[0-9]*' | sort -uV | tail -1)
  if [ "$(printf '%s\n' GLIBC_2.34 "$newest" | sort -V | tail -1)" != GLIBC_2.34 ]; then
    echo "$function needs $newest, and Lambda has GLIBC_2.34" >&2
    exit 1
  fi
  # Lambda quotas: 50 MB, zipped. Ours have 4 to 5.
  if [ "$(wc -c < "$folder/$function.zip")" -gt 20000000 ]; then
    echo "$folder/$function.zip has more than 20 MB" >&2
    exit 1
  fi
done
deploy/packaged-template.sh "$architecture" > "$folder/template.yaml"
cp deploy/destination-role.yaml deploy/source-account.yaml deploy/enable-eventbridge.sh deploy/deploy.sh deploy/destroy.sh \
  deploy/forget.sh samconfig.example.toml "$folder/"
mkdir "$folder/samples"
cp samples/track_1.csv "$folder/samples/"
(cd "$folder" && sha256sum -- *.* samples/* > SHA256SUMS)
ls -l "$folder" >&2
echo "$folder"
