#!/usr/bin/env bash
# Deploys the built stack. The first time it asks five questions and writes the answers, without the write key, into
# samconfig.toml. Later it deploys with that file; a parameter that is not in it keeps its value.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -e samconfig.toml ]; then
  exec sam deploy "$@"
fi
ask() { # QUESTION DEFAULT
  local answer
  read -r -p "$1${2:+ [$2]}: " answer
  printf '%s' "${answer:-$2}"
}
region=$(ask 'AWS region of the stack' "${AWS_REGION:-${AWS_DEFAULT_REGION:-us-east-1}}")
source_id=$(ask 'Source id (Segment: the source, Settings, API Keys)' '')
read -r -s -p 'Write key of that source, or the ARN of a secret that has it (not shown): ' write_key
echo
segment_region=$(ask 'Region of the Segment workspace, us or eu' us)
email=$(ask 'E-mail address for alarms and notices' '')
for value in "$source_id" "$write_key" "$email"; do
  if [ -z "$value" ]; then
    echo 'an answer is missing; nothing is deployed' >&2
    exit 1
  fi
done
case $write_key in
  arn:*) kept="\"WriteKeySecretArn=$write_key\"," secret=() ;;
  *) kept='' secret=("WriteKey=$write_key") ;;
esac
umask 077
cat > samconfig.toml <<TOML
version = 0.1

[default.global.parameters]
stack_name = "segment-s3"
region = "$region"

[default.deploy.parameters]
capabilities = "CAPABILITY_IAM"
confirm_changeset = true
resolve_s3 = true
parameter_overrides = [
  $kept
  "SourceId=$source_id",
  "SegmentRegion=$segment_region",
  "AlarmEmail=$email",
  "NoticeEmail=$email",
]
TOML
if ! sam deploy --parameter-overrides ${secret[@]+"${secret[@]}"} ${kept:+"WriteKeySecretArn=$write_key"} \
  "SourceId=$source_id" "SegmentRegion=$segment_region" "AlarmEmail=$email" "NoticeEmail=$email" "$@"; then
  # The next try asks again, because a stack that was not made has no write key to keep.
  rm samconfig.toml
  exit 1
fi
