#!/usr/bin/env bash
# Turns on the events of a bucket for EventBridge, and leaves its other notifications as they are.
#
#   deploy/enable-eventbridge.sh [--yes] BUCKET
#
# S3 has no request that adds a notification: each write replaces the whole configuration. So this reads the
# configuration, adds EventBridge, shows the difference, asks, writes it back and compares. It needs the AWS CLI and
# Python 3, and the rights s3:GetBucketNotification and s3:PutBucketNotification.
set -euo pipefail

yes=
if [ "${1-}" = --yes ]; then
  yes=1
  shift
fi
if [ $# -ne 1 ]; then
  echo "usage: $0 [--yes] BUCKET" >&2
  exit 2
fi
bucket=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The configuration in one spelling. The CLI prints nothing for a bucket without any.
sorted() {
  python3 -c 'import json, sys; text = sys.stdin.read().strip(); print(json.dumps(json.loads(text or "{}"), indent=2, sort_keys=True))'
}
read_configuration() {
  aws s3api get-bucket-notification-configuration --bucket "$bucket" --output json | sorted
}

read_configuration > "$work/before.json"
python3 -c '
import json, sys
configuration = json.load(sys.stdin)
configuration["EventBridgeConfiguration"] = {}
print(json.dumps(configuration))' < "$work/before.json" | sorted > "$work/after.json"
if cmp -s "$work/before.json" "$work/after.json"; then
  echo "$bucket: EventBridge is on already; nothing is changed"
  exit 0
fi
diff -u --label "$bucket now" --label "$bucket then" "$work/before.json" "$work/after.json" || true
if [ -z "$yes" ]; then
  if ! read -r -p "Write this configuration to $bucket? [y/N] " answer; then
    echo "$bucket: nobody answers, so nothing is changed; give --yes where there is no terminal" >&2
    exit 1
  fi
  case $answer in
    y | Y | yes) ;;
    *)
      echo "$bucket: nothing is changed"
      exit 1
      ;;
  esac
fi
# Somebody else may have changed it while the question was open.
read_configuration > "$work/again.json"
if ! cmp -s "$work/before.json" "$work/again.json"; then
  echo "$bucket: its notifications were changed in the meantime; nothing is written. Start again." >&2
  exit 1
fi
aws s3api put-bucket-notification-configuration --bucket "$bucket" \
  --notification-configuration "file://$work/after.json"
read_configuration > "$work/written.json"
if ! diff -u --label expected --label "$bucket" "$work/after.json" "$work/written.json"; then
  echo "$bucket: the configuration differs from what was written; compare it with the lines above" >&2
  exit 1
fi
echo "$bucket: EventBridge is on. AWS takes about five minutes until events flow."
