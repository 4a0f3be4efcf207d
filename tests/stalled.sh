#!/usr/bin/env bash
# Runs a command, and stops one of its processes after another, each for up to STALL_MS. A busy machine does the same to
# tests, less often.
set -uo pipefail
set -m
"$@" &
group=$!
trap 'kill -CONT -- "-$group"; kill -- "-$group"' INT TERM
while kill -0 "$group" 2>/dev/null; do
  processes=()
  while read -r process; do processes+=("$process"); done < <(pgrep -g "$group")
  if ((${#processes[@]} > 0)); then
    victim=${processes[RANDOM % ${#processes[@]}]}
    stall_ms=$((RANDOM % ${STALL_MS:-2000}))
    kill -STOP "$victim" 2>/dev/null
    sleep "$((stall_ms / 1000)).$(printf %03d $((stall_ms % 1000)))"
    kill -CONT "$victim" 2>/dev/null
  fi
  sleep 0.05
done
wait "$group"
