#!/usr/bin/env bash
# Deletes a person's rows from the buckets. Without --delete it only prints what it would do.
#
#   deploy/forget.sh [--delete] PERSON SOURCE_BUCKET STATE_BUCKET [LOGS_BUCKET]...
#
# PERSON is an id or an address, exactly as the files have it. Files that wait or are read are left alone: run it again after
# their end. docs/runbook.md says more. It needs the AWS CLI, jq and gzip.
set -euo pipefail
is_for_good=
if [ "${1-}" = --delete ]; then
  is_for_good=1
  shift
fi
person=$1 source=$2 state=$3
shift 3
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT

# True if a file, plain or gzip, has the person as a whole word.
has() { [ "$(gzip -dcf < "$1" | grep -cwF -- "$person")" != 0 ]; }

# Prints what is done to an object, and does it with --delete.
act() {
  local words=$1
  shift
  echo "$words"
  if [ -n "$is_for_good" ]; then "$@" > "$here/answer"; fi
}

# The objects of a bucket that match one of the patterns, in a folder.
download() {
  local bucket=$1 folder=$2
  shift 2
  mkdir -p "$folder"
  aws s3 cp --quiet --recursive "s3://$bucket/" "$folder" --exclude '*' "$@"
}

# The versions of objects: key, version id and date.
versions() {
  aws s3api list-object-versions --bucket "$1" --prefix "$2" --output text \
    --query "Versions[${3-}].[Key, VersionId, LastModified]" | sed '/^None$/d'
}

# The streams that have a checkpoint and no ledger, and their files.
aws s3api list-objects-v2 --bucket "$state" --prefix ingest/ --query 'Contents[].[Key]' --output text |
  awk -F/ '$3 == "checkpoint.json" { begun[$2] } $3 == "ledger.json" { ended[$2] }
           END { for (stream in begun) if (!(stream in ended)) print stream }' > "$here/streams"
while read -r stream; do
  aws s3 cp --quiet "s3://$state/ingest/$stream/checkpoint.json" - | jq -r '.object | "\(.bucket)/\(.key)"'
done < "$here/streams" > "$here/files"
is_in_flight() { [ -s "$here/streams" ] && grep -qF -f "$here/streams" <<< "$1"; }

# When each file ended, by the keys of the outcome index: bucket, encoded key, day, and milliseconds of the day.
aws s3api list-objects-v2 --bucket "$state" --prefix outcomes/by-day/ --query 'Contents[].[Key]' --output text |
  sed -nE 's#^outcomes/by-day/([^/]+)/0*([0-9]+)-[0-9a-f]+-(finished|stopped|replaced|refused)/.*/bucket=([^/]+)/key=(.+)\.json$#\4 \5 \1 \2#p' |
  awk '{ print $1, $2, $3, 86399999 - $4 }' > "$here/ends"
has_ended() {
  local key
  key=$(jq -rn --arg key "$1" '$key | @uri')
  awk -v bucket="$source" -v key="$key" -v day="${2:0:10}" -v time="${2:11:8}" '
    BEGIN { split(time, part, ":"); ms = ((part[1] * 60 + part[2]) * 60 + part[3]) * 1000 }
    $1 == bucket && $2 == key && ($3 > day || ($3 == day && $4 >= ms)) { found = 1 }
    END { exit !found }' "$here/ends"
}

# 1. The source bucket: each version of each file.
versions "$source" '' > "$here/versions"
while IFS=$'\t' read -r key version modified; do
  aws s3api get-object --bucket "$source" --key "$key" --version-id "$version" "$here/object" > "$here/answer"
  has "$here/object" || continue
  place="s3://$source/$key (version $version)"
  if grep -qxF -- "$source/$key" "$here/files" || ! has_ended "$key" "$modified"; then
    echo "left alone, it has not ended: $place"
  else
    act "delete $place" aws s3api delete-object --bucket "$source" --key "$key" --version-id "$version"
  fi
done < "$here/versions"

# 2. The state bucket: refused rows, and fragments that no committed range of their file covers.
download "$state" "$here/state" --include 'ingest/*/rejects/*' --include 'rejects/*' --include 'received/*' \
  --include 'exports/quarantine/*'
is_committed() {
  local stream epoch from to
  [[ $1 =~ /file\.([0-9a-f]{32})\.([0-9]+)\.([0-9]+)-([0-9]+)\. ]] || return 0
  stream=${BASH_REMATCH[1]} epoch=${BASH_REMATCH[2]} from=${BASH_REMATCH[3]} to=${BASH_REMATCH[4]}
  aws s3 cp --quiet "s3://$state/ingest/$stream/ledger.json" - |
    jq -e --argjson epoch "$epoch" --argjson from "$from" --argjson to "$to" \
      'any(.committed[]; .epoch == $epoch and .from <= $from and .to >= $to)' > "$here/answer"
}
find "$here/state" -type f > "$here/objects"
while IFS= read -r object; do
  key=${object#"$here/state/"}
  has "$object" || continue
  if is_in_flight "$key"; then
    echo "left alone, its file has not ended: s3://$state/$key"
  elif [[ $key == received/* ]] && is_committed "$key"; then
    echo "left alone, it waits for the exporter: s3://$state/$key"
  else
    act "delete s3://$state/$key" aws s3api delete-object --bucket "$state" --key "$key"
  fi
done < "$here/objects"

# 3. The logs: each object without the lines that have the person as a value. Its older versions are deleted.
rewrite() {
  local logs=$1 key=$2 object=$3
  quoted="\"$person\"" awk 'index($0, ENVIRON["quoted"]) == 0' < "$object" | gzip > "$here/rest"
  aws s3 cp --quiet "$here/rest" "s3://$logs/$key" --content-type text/plain --content-encoding gzip
  versions "$logs" "$key" '?!IsLatest' | while IFS=$'\t' read -r of version _; do
    if [ "$of" = "$key" ]; then aws s3api delete-object --bucket "$logs" --key "$key" --version-id "$version"; fi
  done
}
for logs in "$@"; do
  download "$logs" "$here/logs/$logs" --include '*segment-logs/*.gz'
  find "$here/logs/$logs" -type f > "$here/objects"
  while IFS= read -r object; do
    gzip -dc < "$object" > "$here/lines"
    count=$(grep -cF -- "\"$person\"" "$here/lines" || true)
    if [ "$count" = 0 ]; then continue; fi
    key=${object#"$here/logs/$logs/"}
    act "rewrite s3://$logs/$key without $count lines" rewrite "$logs" "$key" "$here/lines"
  done < "$here/objects"
done
