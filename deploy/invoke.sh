#!/usr/bin/env bash
# Invokes a function with an event: on AWS if STACK names a stack, else built and run on this machine by cargo-lambda.
#
#   deploy/invoke.sh ingester|exporter|receiver EVENT.json
#
# On this machine the function reads its settings from the environment, as README.md lists them.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -ne 2 ]; then
  echo 'usage: make invoke EVENT=events/s3_manual.json [FUNCTION=exporter] [STACK=segment-s3]' >&2
  exit 2
fi
function=$1 event=$2
case $function in
  ingester) output=IngesterFunction ;;
  exporter) output=ExporterFunction ;;
  receiver) output=ReceiverFunction ;;
  *)
    echo "FUNCTION=$function: it is not ingester, exporter or receiver" >&2
    exit 2
    ;;
esac
if [ ! -r "$event" ]; then
  echo "EVENT=$event: there is no such file; events/ has one for each event" >&2
  exit 2
fi

if [ -n "${STACK-}" ]; then
  name=$(aws cloudformation describe-stacks --stack-name "$STACK" --output text \
    --query "Stacks[0].Outputs[?OutputKey=='$output'].OutputValue")
  if [ -z "$name" ] || [ "$name" = None ]; then
    echo "the stack $STACK has no $function: it has no output $output" >&2
    exit 1
  fi
  # Without a limit: a long file takes 15 minutes, and a client that gives up starts a second run.
  exec aws lambda invoke --function-name "$name" --cli-read-timeout 0 --cli-binary-format raw-in-base64-out \
    --payload "file://$event" /dev/stdout
fi

# Before the emulator starts: it would wait for the compiler for a minute only.
"${CARGO:-cargo}" build --quiet --locked --bin "$function"
port=${PORT:-9123}
log=$(mktemp)
cargo lambda watch --quiet --ignore-changes --timeout 900 -A 127.0.0.1 -P "$port" > >(tee "$log" >&2) 2>&1 &
watching=$!
trap 'kill "$watching" 2> /dev/null; rm -f "$log"' EXIT
until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do
  kill -0 "$watching"
  sleep 0.2
done
cargo lambda invoke "$function" -A 127.0.0.1 -P "$port" --data-file "$event" &
invoking=$!
# The emulator waits on if the function cannot start.
while kill -0 "$invoking" 2> /dev/null; do
  if grep -q 'command exited' "$log"; then
    kill "$invoking"
    echo "the $function has ended without an answer: its last line says why. It reads its settings from the environment." >&2
    exit 1
  fi
  sleep 0.2
done
wait "$invoking"
