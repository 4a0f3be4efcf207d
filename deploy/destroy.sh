#!/usr/bin/env bash
# Deletes the stack of samconfig.toml, and says what it keeps and how to remove that too.
set -euo pipefail
cd "$(dirname "$0")"
if [ ! -e template.yaml ]; then
  cd ..
fi
if [ ! -e samconfig.toml ]; then
  echo 'there is no samconfig.toml, which names the stack: make deploy writes it' >&2
  exit 1
fi
setting() { # NAME
  sed -n "s/^ *$1 *= *\"\(.*\)\" *$/\1/p" samconfig.toml | head -1
}
stack=$(setting stack_name) region=$(setting region)
# Read before they are gone: a bucket that is kept has no stack any more.
kept=$(aws cloudformation describe-stack-resources --stack-name "$stack" --region "$region" --output text \
  --query 'StackResources[?ResourceType==`AWS::S3::Bucket` || ResourceType==`AWS::Logs::LogGroup`].[ResourceType,PhysicalResourceId]')
sam delete "$@"
if aws cloudformation describe-stacks --stack-name "$stack" --region "$region" > /dev/null 2>&1; then
  echo "the stack $stack is still there" >&2
  exit 1
fi
echo 'These are kept with all that is in them. The commands remove them for good:'
while read -r type name; do
  case $type in
    AWS::S3::Bucket) echo "  aws s3 rb --region $region --force s3://$name    # with old versions: empty it in the console first" ;;
    AWS::Logs::LogGroup) echo "  aws logs delete-log-group --region $region --log-group-name $name" ;;
  esac
done <<< "$kept"
