#!/usr/bin/env bash
# Deletes a person's rows from the buckets. docs/runbook.md says what it finds, and what it leaves alone.
#
# It first looks everywhere, then asks what is in flight, then deletes. So it knows a file that begins while it looks.
set -euo pipefail

usage() {
  cat >&2 << 'END'
usage: deploy/forget.sh [--delete] [--acl ACL] [--waiting] [--] PERSON SOURCE_BUCKET STATE_BUCKET [LOGS_BUCKET]...

PERSON is an id or an address, exactly as the files have it. Options stand before it:
  --delete   delete; without it the script only prints what it would do
  --acl ACL  the ACL of log objects that are written again, such as bucket-owner-full-control
  --waiting  also delete events that wait for the exporter: only for a stack without destination
It needs aws, jq and gzip. Exit status 1: something could not be read or deleted. Status 2: wrong arguments.
END
  exit 2
}

is_for_good='' takes_waiting='' acl=()
while [[ ${1-} == --* ]]; do
  case $1 in
    --delete) is_for_good=1 ;;
    --waiting) takes_waiting=1 ;;
    --acl) [ -n "${2-}" ] || usage; acl=(--acl "$2"); shift ;;
    --) shift; break ;;
    *) usage ;;
  esac
  shift
done
[ $# -ge 3 ] || usage
person=$1 source=$2 state=$3
# A person without a visible character would be in every file.
[[ $person == *[![:space:]]* && $person != *$'\n'* ]] || usage
for bucket in "${@:2}"; do [[ $bucket == [a-z0-9]* ]] || usage; done
shift 3
for program in aws jq gzip; do
  type "$program" > /dev/null 2>&1 || { echo "deploy/forget.sh: there is no program \`$program\`" >&2; exit 2; }
done

here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
true > "$here/failures"

# Names something that could not be done, with the last line of the error. The script goes on.
fail() { echo "FAILED: $1: $(tail -n 1 "$here/error" 2> /dev/null)" | tee -a "$here/failures" >&2; }

# The place of an object, on one line.
place() {
  local key=${2//[[:cntrl:]]/?}
  echo "s3://$1/$key${4+ (version $4)}"
}

# Says what is done to an object, and does it with --delete: its verb, the same as done, the rest of the line, the command.
act() {
  local verb=$1 done=$2 rest=$3
  shift 3
  if [ -z "$is_for_good" ]; then
    echo "would $verb $rest"
  elif "$@" > "$here/answer" 2> "$here/error"; then
    echo "$done $rest"
  else
    fail "$verb $rest"
  fi
}

# Prints extended regular expressions for the person: as a whole cell of CSV, as a whole string of JSON, or in a document.
# A quote may be doubled or follow a backslash. JSON may escape a slash, and what is not ASCII. A cell of CSV may hold JSON.
patterns() {
  jq -rn --arg person "$person" --arg ascii "$(jq -an --arg person "$person" '$person')" --arg format "$1" --arg q "'" '
    def escaped: explode | map([.] | implode | if inside(".^$*+?()[]{}|\\") then "\\" + . else . end) | join("");
    def replaced(one; other): split(one) | join(other);
    def inner: tojson[1:-1];
    ([$person | inner] + [$ascii[1:-1]]) | (. + map(replaced("/"; "\\/"))) | unique as $strings
    | if $format == "json" then $strings[] | "\"\(.)\"" | (., inner) | escaped
      elif $format == "csv" then
        [$person, $strings[]] | (. + map(replaced("\""; "\"\""), replaced("\""; "\\\""))) | unique[] | escaped
        | "(^|[,;|\t\"])\(.)($|[,;|\t\r\"])", "(^|[,;|\t])\($q)\(.)\($q)($|[,;|\t\r])"
      else $strings[] | escaped | "([,;|`.\"]|\\\\[t\"])\(.)([,;|` \"]|\\\\[trn\"])"
      end'
}

# The keys of a bucket under a prefix. Each ends with a NUL, since a key may hold a line break.
keys() {
  aws s3api list-objects-v2 --bucket "$1" --prefix "${2-}" --output json | jq -j '.Contents[]? | .Key, "\u0000"'
}

# The versions of objects under a prefix: key, id and date. Each ends with a NUL.
versions() {
  aws s3api list-object-versions --bucket "$1" --prefix "${2-}" --output json |
    jq -j ".Versions[]? | ${3-.} | .Key, \"\\u0000\", .VersionId, \"\\u0000\", .LastModified, \"\\u0000\""
}

# Copies many objects at once. What this leaves out, such as an archived object or a long name, `inflate` fetches alone.
download() {
  local bucket=$1
  shift
  mkdir -p "$here/copies/$bucket"
  aws s3 cp --quiet --recursive "s3://$bucket/" "$here/copies/$bucket" --exclude '*' "$@" 2> "$here/error" || true
}

# Fetches an object. Status 1: it is gone. Status 2: it cannot be read.
fetch() {
  local bucket=$1 key=$2
  shift 2
  aws s3api get-object --bucket "$bucket" --key "$key" "$@" "$here/object" > "$here/answer" 2> "$here/error" && return
  if grep -qE 'NoSuchKey|NoSuchVersion' "$here/error"; then return 1; else return 2; fi
}

# Inflates an object, plain or gzip, into the file `text`. Its status is that of `fetch`.
inflate() {
  local copy="$here/copies/$1/$2"
  # The folder of copies has no place for an empty name, `.` and `..`.
  if [[ $# != 2 || /$2/ =~ /\.{0,2}/ || ! -f $copy ]]; then
    fetch "$@" || return
    copy=$here/object
  fi
  gzip -dcf < "$copy" > "$here/text" 2> "$here/error" || return 2
}

# True if an object has the person, by the patterns of its format. An object that cannot be read is named.
has() {
  local format=$1 status=0
  shift
  inflate "$@" || status=$?
  if [ "$status" = 0 ]; then
    LC_ALL=C grep -qaEf "$here/$format" "$here/text" 2> "$here/error" && return
    status=$?
  fi
  if [ "$status" != 1 ]; then fail "cannot be read: $(place "$@")"; fi
  return 1
}

# 1. Look: the versions of files, and the objects of the state bucket, that have the person.
look_in_source() {
  local key version modified
  versions "$source" > "$here/versions"
  while IFS= read -rd '' key && IFS= read -rd '' version && IFS= read -rd '' modified; do
    if has csv "$source" "$key" --version-id "$version"; then printf '%s\0' "$key" "$version" "$modified"; fi
  done < "$here/versions"
}
look_in_state() {
  local key format
  keys "$state" > "$here/keys"
  download "$state" --include 'ingest/*' --include 'outcomes/*' --include 'rejects/*' --include 'received/*' \
    --include 'exports/quarantine/*'
  while IFS= read -rd '' key; do
    case $key in
      received/* | rejects/received/* | exports/quarantine/*) format=json ;;
      rejects/* | ingest/*/rejects/*) format=csv ;;
      ingest/* | outcomes/*) format=document ;;
      *) continue ;;
    esac
    if has "$format" "$state" "$key"; then printf '%s\0' "$key"; fi
  done < "$here/keys"
}

# 2. Ask what is in flight.
#
# A stream is in flight if it has a checkpoint and no ledger. All its objects in the state bucket are younger than its
# checkpoint, so the streams are listed after the objects.
ask_streams() {
  local stream
  keys "$state" ingest/ | tr '\n\0' ' \n' > "$here/accounts"
  sed -nE 's#^ingest/([0-9a-f]{32})/checkpoint\.json$#\1#p' "$here/accounts" | LC_ALL=C sort > "$here/begun"
  sed -nE 's#^ingest/([0-9a-f]{32})/ledger\.json$#\1#p' "$here/accounts" | LC_ALL=C sort > "$here/ended"
  LC_ALL=C comm -23 "$here/begun" "$here/ended" > "$here/open"
  true > "$here/files"
  while read -r stream; do
    read_document "ingest/$stream/checkpoint.json" '.object | {bucket, key} | select(all(.[]; type == "string"))' files
  done < "$here/open"
}
# A file may wait in the queue, or as a dead letter, for 14 days after its event. Its event may be that of a backfill.
ask_queue() {
  local key at
  jq -rn 'now - 14 * 86400 | floor | todate' > "$here/since"
  true > "$here/backfills"
  true > "$here/outcomes"
  aws s3api list-objects-v2 --bucket "$state" --prefix ingest/backfills/ --output json |
    jq -r --rawfile since "$here/since" '.Contents[]? | select(.LastModified[:19] > $since[:19]) | .Key, .LastModified' \
      > "$here/recent"
  while IFS= read -r key && IFS= read -r at; do
    read_document "$key" ".backfill | {bucket, prefix: (.prefix // \"\"), at: \"$at\"}" backfills
  done < "$here/recent"
  if [ -d "$here/copies/$state/outcomes/by-key" ]; then
    find "$here/copies/$state/outcomes/by-key" -type f -exec jq -c '.files[] | {bucket, key, outcome, at}' {} + \
      > "$here/outcomes" 2> "$here/error" || fail "cannot be read: an outcome of s3://$state/outcomes/by-key/"
  fi
}
# Appends a part of a document to a file. If that fails, every file may be in flight.
read_document() {
  if ! fetch "$state" "$1" || ! jq -ce "$2" "$here/object" >> "$here/$3" 2> "$here/error"; then
    fail "cannot be read: $(place "$state" "$1")"
    true > "$here/unknown"
  fi
}
# Prints why a version of a file is left alone; nothing if it has ended.
why_file_stays() {
  if [ -e "$here/unknown" ]; then echo "a file in flight is unknown"; return; fi
  jq -rn --arg bucket "$source" --arg key "$1" --arg modified "$2" --rawfile since "$here/since" \
    --slurpfile files "$here/files" --slurpfile backfills "$here/backfills" --slurpfile outcomes "$here/outcomes" '
    def same: .bucket == $bucket and .key == $key;
    def queued: .bucket == $bucket and (.prefix as $prefix | $key | startswith($prefix));
    ([$modified, ($backfills[] | select(queued) | .at)] | map(.[:19]) | max) as $queued
    | [$outcomes[] | select(same and .at[:19] >= $queued) | .outcome] as $later
    | if any($files[]; same) then "it has not ended"
      elif $queued > $since[:19] and ($later == [] or any($later[]; . == "failed")) then "it may wait in the queue"
      else empty end'
}
# Prints why an object of the state bucket is left alone; nothing if it is not needed. A fragment is not needed if its
# file has a ledger without its rows.
why_object_stays() {
  local key=$1 rows='' stream='' status=0
  if [[ $key =~ /file\.([0-9a-f]{32})\.([0-9]+)\.([0-9]+)-([0-9]+)\. ]]; then
    stream=${BASH_REMATCH[1]}
    rows=".epoch == ${BASH_REMATCH[2]} and .from <= ${BASH_REMATCH[3]} and .to >= ${BASH_REMATCH[4]}"
  elif [[ $key =~ ^(ingest|rejects)/([0-9a-f]{32})/ ]]; then
    stream=${BASH_REMATCH[2]}
  fi
  if [ -n "$stream" ] && grep -qx "$stream" "$here/open"; then echo "its file has not ended"; return; fi
  if [[ $key != received/* || -n $takes_waiting ]]; then return; fi
  if [ -z "$rows" ]; then echo "it waits for the exporter"; return; fi
  if ! grep -qx "$stream" "$here/ended"; then echo "its file has no ledger: the exporter decides"; return; fi
  fetch "$state" "ingest/$stream/ledger.json" || return
  jq -e "any(.committed[]; $rows)" "$here/object" > "$here/answer" 2> "$here/error" || status=$?
  case $status in
    0) echo "it waits for the exporter" ;;
    1) ;;
    *) return 2 ;;
  esac
}

# 3. Delete.
#
# Deletes an object, or a version of it, unless there is a reason against it, or no answer about one.
delete() {
  local status=$1 reason=$2 bucket=$3 key=$4
  shift 2
  if [ "$status" != 0 ]; then
    fail "left alone, as it is not known whether it is needed: $(place "$@")"
  elif [ -n "$reason" ]; then
    echo "left alone, $reason: $(place "$@")"
  else
    shift 2
    act delete deleted "$(place "$bucket" "$key" "$@")" \
      aws s3api delete-object --bucket "$bucket" --key "$key" "$@"
  fi
}
delete_in_source() {
  local key version modified reason status
  while IFS= read -rd '' key && IFS= read -rd '' version && IFS= read -rd '' modified; do
    status=0
    reason=$(why_file_stays "$key" "$modified" 2> "$here/error") || status=$?
    delete "$status" "$reason" "$source" "$key" --version-id "$version"
  done < "$here/in-source"
}
delete_in_state() {
  local key reason status
  while IFS= read -rd '' key; do
    if [[ $key == outcomes/* || $key =~ ^ingest/ && ! $key =~ ^ingest/[^/]+/rejects/ ]]; then
      echo "found and never deleted, a document that names the person: $(place "$state" "$key")"
      continue
    fi
    status=0
    reason=$(why_object_stays "$key") || status=$?
    delete "$status" "$reason" "$state" "$key"
  done < "$here/in-state"
}

# The logs: each object is written again without the lines of the person, and its older versions are deleted.
delete_in_logs() {
  local logs=$1 key count
  keys "$logs" > "$here/keys" 2> "$here/error" || { fail "cannot be listed: s3://$logs"; return; }
  download "$logs" --include '*segment-logs/*.gz'
  while IFS= read -rd '' key; do
    if [[ $key != *segment-logs/*.gz ]] || ! has json "$logs" "$key"; then continue; fi
    count=$(LC_ALL=C grep -caEf "$here/json" "$here/text")
    act rewrite rewritten "$(place "$logs" "$key") without $count lines" rewrite "$logs" "$key"
  done < "$here/keys"
}
# Writes the rest of the file `text` in the place of a log object, with the same headers.
rewrite() {
  local logs=$1 key=$2 header headers=()
  aws s3api head-object --bucket "$logs" --key "$key" --output json > "$here/head" || return
  jq -j 'def option(name): if . == null then empty else name, tostring end;
    (.ContentType | option("--content-type")), (.ContentEncoding | option("--content-encoding")),
    (.ServerSideEncryption | option("--server-side-encryption")), (.SSEKMSKeyId | option("--ssekms-key-id")),
    if .BucketKeyEnabled == true then "--bucket-key-enabled" else empty end,
    (.StorageClass | option("--storage-class")), (.Metadata | select(. != {}) | option("--metadata"))
    | ., "\u0000"' "$here/head" > "$here/headers" || return
  while IFS= read -rd '' header; do headers+=("$header"); done < "$here/headers"
  # Status 1 of grep: every line was of the person.
  LC_ALL=C grep -vaEf "$here/json" "$here/text" > "$here/rest" || [ $? = 1 ] || return
  gzip -c < "$here/rest" > "$here/rest.gz" || return
  aws s3api put-object --bucket "$logs" --key "$key" --body "$here/rest.gz" ${headers[@]+"${headers[@]}"} \
    ${acl[@]+"${acl[@]}"} || return
  delete_older "$logs" "$key" || { echo "an older version of it is still there: delete it yourself" >&2; return 1; }
}
delete_older() {
  local logs=$1 key=$2 of version
  versions "$logs" "$key" 'select(.IsLatest | not)' > "$here/versions" || return
  while IFS= read -rd '' of && IFS= read -rd '' version && IFS= read -rd '' _; do
    if [ "$of" = "$key" ]; then
      aws s3api delete-object --bucket "$logs" --key "$key" --version-id "$version" || return
    fi
  done < "$here/versions"
}

for format in csv json document; do patterns "$format" > "$here/$format"; done
look_in_source > "$here/in-source"
look_in_state > "$here/in-state"
ask_streams
ask_queue
delete_in_source
delete_in_state
for logs in "$@"; do delete_in_logs "$logs"; done
if [ -s "$here/failures" ]; then
  echo "$(($(wc -l < "$here/failures"))) failures. Look at each line with FAILED, then run it again." >&2
  exit 1
fi
