#!/usr/bin/env bash
# Invokes a function with an event: on AWS if STACK names a stack, else built and run on this machine by cargo-lambda.
#
#   deploy/invoke.sh ingester|exporter|receiver EVENT.json
#
# On this machine the function reads its settings from the environment, as README.md lists them.
set -euo pipefail
cd "$(dirname "$0")/.."
function=$1 event=$2

if [ -n "${STACK-}" ]; then
  case $function in
    ingester) output=IngesterFunction ;;
    exporter) output=ExporterFunction ;;
    receiver) output=ReceiverFunction ;;
    *)
      echo "$function is not ingester, exporter or receiver" >&2
      exit 2
      ;;
  esac
  name=$(aws cloudformation describe-stacks --stack-name "$STACK" --output text \
    --query "Stacks[0].Outputs[?OutputKey=='$output'].OutputValue")
  # Without a limit: a long file takes 15 minutes, and a client that gives up starts a second run.
  exec aws lambda invoke --function-name "$name" --cli-read-timeout 0 --cli-binary-format raw-in-base64-out \
    --payload "file://$event" /dev/stdout
fi
port=${PORT:-9123}
cargo lambda watch --ignore-changes -A 127.0.0.1 -P "$port" &
watching=$!
trap 'kill "$watching"' EXIT
until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do
  kill -0 "$watching"
  sleep 0.2
done
# The first invocation compiles the function.
cargo lambda invoke "$function" -A 127.0.0.1 -P "$port" --timeout 1800 --data-file "$event"
