#!/bin/sh
# Puts the reading corpus, the samples of events and the documents where the fuzz targets look for seeds, the choosing bytes before each.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/reading corpus/events corpus/documents corpus/requests corpus/deflate
cp ../samples/segment-s3.toml corpus/documents/samples.toml
# Each fenced example of a page is a document.
for page in ../docs/configuration.md ../docs/mapping.md; do
    awk -v out="corpus/documents/$(basename "$page" .md)" \
        '/^```toml$/ { file = out "-" ++number ".toml"; printf "" > file; next } /^```$/ { file = ""; next } file { print > file }' "$page"
done
for event in ../events/*.json; do
    { printf '\000\004\007\002\011\010'; cat "$event"; } > "corpus/events/$(basename "$event")"
done
# An odd byte: the rest is compressed as it is.
for input in ../tests/corpus/*/input ../events/*.json; do
    { printf '\001'; cat "$input"; } > "corpus/deflate/$(basename "$(dirname "$input")")-$(basename "$input")"
done
# A byte for the kind of request, and its body.
printf '\000writeKey=k&userId=u&event=e&properties.a.b=%%20' > corpus/requests/pixel
printf '\012{"writeKey":"k","userId":1,"event":"cut \\ud83d","context":{"direct":true}}' > corpus/requests/single
printf '\004{"batch":[{"type":"track","event":"e","anonymousId":"a","timestamp":1557606747},{"type":"page"}],"context":{"a":1},"integrations":{},"sentAt":"2019-05-11T20:32:27.940Z"}' > corpus/requests/batch
printf '\006[{"type":"identify","userId":"u","traits":{},"receivedAt":"2019-05-11T20:32:27.940Z"}]' > corpus/requests/webhook
# The kinds in the order of their table, written by `UPDATE_DOCS=1 cargo test --workspace --test stories tables`.
# kinds
kinds="identify track page screen group alias object"
# /kinds
for case in ../tests/corpus/*/ ../tests/exports/*/; do
    name=$(sed -n 's/^NAME=//p' "$case/settings" 2>/dev/null || true)
    # A track, unless the name begins with another kind.
    kind=1 number=0
    for word in $kinds; do
        case "$name" in "$word"_*) kind=$number ;; esac
        number=$((number + 1))
    done
    # The byte that the target's `reading` makes these settings of.
    infer=0 empty=0 encoding=0 delimiter=0 formats=0 more=0
    while IFS= read -r setting; do
        case "$setting" in
            INFER_TYPES=true) infer=1 ;;
            EMPTY_CELLS=null) empty=1 ;;
            EMPTY_CELLS=empty) empty=2 ;;
            CSV_ENCODING=auto) more=$((more + 32)) ;;
            CSV_ENCODING=utf-16le) encoding=1 ;;
            CSV_ENCODING=windows-1252) encoding=2 ;;
            CSV_ENCODING=*) encoding=3 ;;
            CSV_DELIMITER=tab) delimiter=1 ;;
            TIMESTAMP_FORMATS=*) formats=1 ;;
            CSV_QUOTE=single) more=$((more + 2)) ;;
            CSV_ESCAPE=backslash) more=$((more + 3)) ;;
            TIMESTAMP_ZONE=*) more=$((more + 4)) ;;
            NULLS=*) more=$((more + 8)) ;;
        esac
    done <<EOF
$(cat "$case/settings" 2>/dev/null || true)
EOF
    for low in 0 1 2; do
        settings=$((infer + 2 * low + 8 * encoding + 32 * delimiter + 64 * formats))
        [ $((settings / 2 % 3)) -ne "$empty" ] || break
    done
    { printf "\\$(printf %03o "$kind")\\$(printf %03o "$settings")\\$(printf %03o "$more")\\007"; cat "$case/input"; } > "corpus/reading/$(basename "$(dirname "$case")")-$(basename "$case")"
done
