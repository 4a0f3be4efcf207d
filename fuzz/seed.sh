#!/bin/sh
# Puts the reading corpus where the fuzz target looks for seeds, three choosing bytes before each.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/reading
for case in ../tests/corpus/*/; do
    name=$(sed -n 's/^NAME=//p' "$case/settings" 2>/dev/null || true)
    case "$name" in
        identify_*) kind='\000' ;;
        page_*) kind='\002' ;;
        screen_*) kind='\003' ;;
        group_*) kind='\004' ;;
        alias_*) kind='\005' ;;
        object_*) kind='\006' ;;
        *) kind='\001' ;;
    esac
    { printf "$kind"'\000\007'; cat "$case/input"; } > "corpus/reading/$(basename "$case")"
done
