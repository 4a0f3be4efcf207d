#!/usr/bin/env bash
# Builds and deploys the stack. The first time it asks for what it needs and writes the answers, without the write key,
# into samconfig.toml. Later it deploys with that file; a parameter that is not in it keeps its value.
#
# WRITE_KEY=ask changes the write key alone: it asks for the new one, and all other parameters keep their values.
#
# In a package it builds nothing: the zips are there.
set -euo pipefail
cd "$(dirname "$0")"
if [ ! -e template.yaml ]; then
  cd ..
fi

# Says what is missing before it asks anything, and sets the region that AWS's tools would take.
check() {
  for tool in aws sam; do
    command -v "$tool" > /dev/null || {
      echo "the command $tool is not installed: docs.aws.amazon.com says how, under \"$tool cli install\"" >&2
      exit 1
    }
  done
  case $(aws --version 2>&1) in
    aws-cli/1.*)
      echo 'this is version 1 of the AWS CLI, and the commands of the stack need version 2: docs.aws.amazon.com says how, under "aws cli install"' >&2
      exit 1
      ;;
  esac
  default_region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
  default_region=${default_region:-us-east-1}
  aws sts get-caller-identity --region "$default_region" --query Arn --output text || {
    echo 'AWS takes no credentials from this machine: run `aws configure`, or set AWS_PROFILE' >&2
    exit 1
  }
}

# In a package the zips are for one architecture, and its template says which.
build() {
  local architecture
  if [ -e ingester.zip ]; then
    return
  fi
  architecture=$(grep -oE '^ *"Architecture=[a-z0-9_]+' samconfig.toml | cut -d= -f2) || architecture=x86_64
  deploy/build.sh "$architecture"
}

ask() { # QUESTION DEFAULT
  local answer
  read -r -p "$1${2:+ [$2]}: " answer
  printf '%s' "${answer:-$2}"
}

# The region of a source, as Segment says to its libraries: us, eu, unknown if no source has the key, or nothing if there is
# no clear answer. The key is in the address, so curl reads that from its standard input.
region_of() { # WRITE_KEY
  local settings status
  settings=$(printf 'url = "https://cdn-settings.segment.com/v1/projects/%s/settings"\n' "$1" |
    curl --silent --max-time 10 --write-out '\n%{http_code}' --config -) || return 0
  status=${settings##*$'\n'}
  case $status:$settings in
    200:*events.eu1.segmentapis.com*) printf eu ;;
    200:*api.segment.io*) printf us ;;
    404:'<'*) ;;
    404:*) printf unknown ;;
  esac
}

# Asks for the write key, and sets segment_region if Segment gives a clear answer about it.
ask_write_key() { # QUESTION
  read -r -s -p "$1 (not shown): " write_key
  echo
  case $write_key in
    '' | arn:* | *[!A-Za-z0-9]*) segment_region='' ;;
    *) segment_region=$(region_of "$write_key") ;;
  esac
  if [ "$segment_region" = unknown ]; then
    echo 'Segment does not know this write key; nothing is deployed. Copy it again from Settings, API Keys' >&2
    exit 1
  fi
}

# SAM keeps the value of each parameter that the command does not name.
change_write_key() {
  if [ ! -e samconfig.toml ]; then
    echo 'there is no samconfig.toml, which names the stack; without WRITE_KEY=ask this makes one' >&2
    exit 1
  fi
  ask_write_key 'New write key'
  case $write_key in
    '' | arn:* | *[!A-Za-z0-9]*)
      echo 'this is not a write key; nothing is deployed. A secret is named by WriteKeySecretArn in samconfig.toml' >&2
      exit 1
      ;;
  esac
  build
  exec sam deploy --parameter-overrides "WriteKey=$write_key" "$@"
}

check
if [ "${WRITE_KEY-}" = ask ]; then
  change_write_key "$@"
fi
if [ -e samconfig.toml ]; then
  build
  exec sam deploy "$@"
fi
region=$(ask 'AWS region of the stack' "$default_region")
source_id=$(ask 'Source id (Segment: the source, Settings, API Keys)' '')
ask_write_key 'Write key of that source, or the ARN of a secret that has it'
case $segment_region in
  '') segment_region=$(ask 'Region of the Segment workspace, us or eu' us) ;;
  *) echo "Segment knows this write key. Its workspace is in the region $segment_region" ;;
esac
email=$(ask 'E-mail address for alarms and notices' '')
for value in "$source_id" "$write_key" "$email"; do
  if [ -z "$value" ]; then
    echo 'an answer is missing; nothing is deployed' >&2
    exit 1
  fi
done
case $segment_region in
  us | eu) ;;
  *)
    echo "the region of the workspace is $segment_region, and not us or eu; nothing is deployed" >&2
    exit 1
    ;;
esac
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
if ! { build && sam deploy --parameter-overrides ${secret[@]+"${secret[@]}"} ${kept:+"WriteKeySecretArn=$write_key"} \
  "SourceId=$source_id" "SegmentRegion=$segment_region" "AlarmEmail=$email" "NoticeEmail=$email" "$@"; }; then
  # The next try asks again, because a stack that was not made has no write key to keep.
  rm samconfig.toml
  exit 1
fi
