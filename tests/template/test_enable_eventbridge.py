"""deploy/enable-eventbridge.sh against a bucket that has notifications of its own."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import botocore.session
from botocore.validate import ParamValidator

from stack import ACCOUNT, REGION, ROOT

# The two commands of the AWS CLI that the script uses, over a folder with a file for each bucket. Like S3, a write
# replaces everything. moto forgets EventBridge when it is asked for the configuration.
CLI = f"""#!{sys.executable}
import json, os, pathlib, sys
command, *rest = sys.argv[2:]
options = dict(zip(rest[::2], rest[1::2]))
bucket = pathlib.Path(os.environ["BUCKETS"]) / options["--bucket"]
if not bucket.exists():
    sys.exit("An error occurred (NoSuchBucket) when calling the operation")
if command == "get-bucket-notification-configuration":
    held = json.loads(bucket.read_text())
    if held:
        print(json.dumps(held, indent=4))
    if os.environ.get("MEANWHILE"):
        bucket.write_text(os.environ["MEANWHILE"])
elif command == "put-bucket-notification-configuration":
    text = pathlib.Path(options["--notification-configuration"].removeprefix("file://")).read_text()
    bucket.write_text(os.environ.get("INSTEAD") or text)
else:
    sys.exit(f"no such command: {{command}}")
"""

OTHERS = {
    "QueueConfigurations": [
        {
            "Id": "thumbnails",
            "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:thumbnails",
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "images/"}]}},
        }
    ],
    "TopicConfigurations": [
        {"Id": "audit", "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:audit", "Events": ["s3:ObjectRemoved:*"]}
    ],
    "LambdaFunctionConfigurations": [
        {
            "Id": "index",
            "LambdaFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:index",
            "Events": ["s3:ObjectCreated:Put"],
        }
    ],
}


class EnableEventBridge(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        (Path(folder.name) / "bin").mkdir()
        cli = Path(folder.name) / "bin/aws"
        cli.write_text(CLI)
        cli.chmod(0o755)
        self.buckets = Path(folder.name) / "buckets"
        self.buckets.mkdir()
        self.env = {**os.environ, "PATH": f"{cli.parent}:{os.environ['PATH']}", "BUCKETS": str(self.buckets)}

    def bucket(self, name, configuration):
        (self.buckets / name).write_text(json.dumps(configuration))
        return name

    def configuration(self, bucket):
        return json.loads((self.buckets / bucket).read_text())

    def run_script(self, *arguments, answer="", **env):
        script = ROOT / "deploy/enable-eventbridge.sh"
        return subprocess.run(
            [script, *arguments], env={**self.env, **env}, input=answer, capture_output=True, text=True, check=False
        )

    def test_three_other_notifications_stay_and_a_second_run_changes_nothing(self):
        bucket = self.bucket("three", OTHERS)
        done = self.run_script("--yes", bucket)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('+  "EventBridgeConfiguration": {},', done.stdout)
        written = self.configuration(bucket)
        self.assertEqual(written, {**OTHERS, "EventBridgeConfiguration": {}})
        operation = botocore.session.get_session().get_service_model("s3").operation_model("PutBucketNotificationConfiguration")
        request = {"Bucket": bucket, "NotificationConfiguration": written}
        self.assertFalse(ParamValidator().validate(request, operation.input_shape).has_errors())
        again = self.run_script("--yes", bucket)
        self.assertIn("nothing is changed", again.stdout)
        self.assertEqual(self.configuration(bucket), written)

    def test_nothing_is_written_without_a_yes(self):
        bucket = self.bucket("asked", OTHERS)
        self.assertEqual(self.run_script(bucket, answer="n\n").returncode, 1)
        self.assertEqual(self.configuration(bucket), OTHERS)
        self.assertEqual(self.run_script(bucket, answer="y\n").returncode, 0)
        self.assertIn("EventBridgeConfiguration", self.configuration(bucket))

    def test_without_a_terminal_it_asks_for_yes_in_words(self):
        bucket = self.bucket("alone", OTHERS)
        done = self.run_script(bucket)
        self.assertEqual((done.returncode, self.configuration(bucket)), (1, OTHERS))
        self.assertIn("give --yes", done.stderr)

    def test_a_bucket_without_notifications_gets_one(self):
        bucket = self.bucket("none", {})
        self.assertEqual(self.run_script("--yes", bucket).returncode, 0)
        self.assertEqual(self.configuration(bucket), {"EventBridgeConfiguration": {}})

    def test_a_change_of_somebody_else_is_not_overwritten(self):
        bucket, theirs = self.bucket("changed", {}), json.dumps(OTHERS)
        done = self.run_script("--yes", bucket, MEANWHILE=theirs)
        self.assertEqual(done.returncode, 1)
        self.assertIn("changed in the meantime", done.stderr)
        self.assertEqual(self.configuration(bucket), OTHERS)

    def test_a_configuration_that_is_not_what_was_written_is_reported(self):
        done = self.run_script("--yes", self.bucket("lost", OTHERS), INSTEAD='{"EventBridgeConfiguration": {}}')
        self.assertEqual(done.returncode, 1)
        self.assertIn("differs from what was written", done.stderr)

    def test_a_bucket_that_cannot_be_read_is_not_written(self):
        done = self.run_script("--yes", "no-such-bucket")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("NoSuchBucket", done.stderr)


if __name__ == "__main__":
    unittest.main()
