"""The scripts of deploy/, with a SAM that only says what it was asked."""

import os
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

from samcli.yamlhelper import yaml_parse

from stack import ROOT

# Each says what it was asked. `curl` says what Segment answers about a write key.
TOOLS = {
    "cargo": """printf 'cargo %s\\n' "$*" """,
    "sam": """printf '%s\\n' "$@"; exit "${STATUS-0}" """,
    "aws": """case $1 in
        --version) echo "aws-cli/${CLI-2.31.0} Python/3.13.7 Linux/6.8 exe/x86_64" ;;
        sts) exit "${CREDENTIALS-0}" ;;
    esac""",
    "curl": """cat > "$(dirname "$0")/asked"; printf '%s' "${SEGMENT-}" """,
}
US = '{"integrations":{"Segment.io":{"apiHost":"api.segment.io/v1"}}}\n200'
EU = US.replace("api.segment.io", "events.eu1.segmentapis.com")
ARN = "arn:aws:secretsmanager:eu-central-1:1:secret:k"


class Script(unittest.TestCase):
    """A script in a folder of its own, with these tools first on the path."""

    script, others, tools = None, [], {}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "deploy").mkdir()
        for name in [self.script, *self.others]:
            shutil.copy(ROOT / name, self.folder / "deploy")
        for name, text in self.tools.items():
            (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.folder / name).chmod(0o755)

    def run_script(self, answers=(), script=None, **env):
        return subprocess.run(
            [self.folder / (script or self.script)],
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", **env},
            input="".join(f"{answer}\n" for answer in answers),
            capture_output=True,
            text=True,
            check=False,
        )


class Deploy(Script):
    script, others, tools = "deploy/deploy.sh", ["deploy/build.sh"], TOOLS

    def kept(self):
        path = self.folder / "samconfig.toml"
        return tomllib.loads(path.read_text())["default"] if path.exists() else None

    def test_four_answers_deploy_and_the_write_key_is_not_kept(self):
        done = self.run_script(["eu-central-1", "src1", "keyXyz1", "me@example.com"], SEGMENT=EU)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = done.stdout.splitlines()
        self.assertIn("WriteKey=keyXyz1", said)
        self.assertLess(said.index("build"), said.index("deploy"))
        self.assertNotIn("keyXyz1", str(self.kept()) + done.stderr)
        self.assertEqual(self.kept()["global"]["parameters"]["region"], "eu-central-1")
        overrides = self.kept()["deploy"]["parameters"]["parameter_overrides"]
        self.assertIn("SegmentRegion=eu", overrides)
        self.assertEqual(sorted(overrides), sorted(set(said) & set(overrides)))
        again = self.run_script()
        built = "cargo lambda build --release --bin ingester --bin exporter --bin receiver"
        expected = [built, "build", "--parameter-overrides", "Architecture=x86_64", "deploy"]
        self.assertEqual(again.stdout.splitlines(), expected)

    def test_a_key_that_segment_does_not_know_deploys_nothing(self):
        done = self.run_script(["", "src1", "keyXyz1", "me@example.com"], SEGMENT="Invalid path.\n404")
        self.assertEqual((done.returncode, self.kept()), (1, None))
        self.assertIn("Segment does not know this write key", done.stderr)
        self.assertNotIn("keyXyz1", done.stdout + done.stderr)

    def test_without_a_clear_answer_of_segment_it_asks_for_the_region(self):
        for answer in ["", "<html>\n404", "{}\n500", '{"integrations":{}}\n200']:
            done = self.run_script(["", "src1", "keyXyz1", "eu", "me@example.com"], SEGMENT=answer)
            self.assertIn("SegmentRegion=eu", done.stdout.splitlines(), answer)
            (self.folder / "samconfig.toml").unlink()

    def test_a_secret_is_kept_by_its_arn_and_segment_is_not_asked(self):
        done = self.run_script(["", "src1", ARN, "", "me@example.com"], SEGMENT=US)
        self.assertIn(f"WriteKeySecretArn={ARN}", done.stdout.splitlines())
        self.assertIn(f"WriteKeySecretArn={ARN}", self.kept()["deploy"]["parameters"]["parameter_overrides"])
        self.assertFalse((self.folder / "asked").exists())

    def test_a_new_write_key_is_asked_for_and_is_the_only_parameter_that_changes(self):
        asking = {"WRITE_KEY": "ask", "SEGMENT": US}
        done = self.run_script(["keyXyz2"], **asking)
        self.assertIn("there is no samconfig.toml", done.stderr)
        config = self.folder / "samconfig.toml"
        config.write_text('parameter_overrides = ["SourceId=src1"]\n')
        done = self.run_script(["keyXyz2"], **asking)
        self.assertEqual(done.stdout.splitlines()[-3:], ["deploy", "--parameter-overrides", "WriteKey=keyXyz2"], done)
        self.assertNotIn("keyXyz2", config.read_text() + done.stderr)
        for answer, segment in [("", US), (ARN, US), ("keyXyz2", "Invalid path.\n404")]:
            done = self.run_script([answer], **{**asking, "SEGMENT": segment})
            self.assertEqual((done.returncode, done.stdout), (1, "\n"), answer)
            self.assertIn("nothing is deployed", done.stderr)

    def test_version_1_of_the_aws_cli_deploys_nothing(self):
        done = self.run_script(CLI="1.45.11")
        self.assertEqual((done.returncode, done.stdout, self.kept()), (1, "", None))
        self.assertIn("need version 2", done.stderr)

    def test_the_architecture_of_the_parameters_is_built(self):
        overrides = '  # "Architecture=x86_64",\n  "Architecture=arm64",\n'
        (self.folder / "samconfig.toml").write_text(f"parameter_overrides = [\n{overrides}]\n")
        said = self.run_script().stdout.splitlines()
        self.assertTrue("--arm64" in said[0] and "Architecture=arm64" in said, said)

    def test_a_package_deploys_without_a_build(self):
        shutil.move(self.folder / "deploy/deploy.sh", self.folder / "deploy.sh")
        for name in ["template.yaml", "ingester.zip"]:
            (self.folder / name).touch()
        done = self.run_script(["", "src1", "keyXyz1", "me@example.com"], "deploy.sh", SEGMENT=US)
        self.assertTrue("deploy" in done.stdout.splitlines() and "build" not in done.stdout.splitlines(), done)
        self.assertEqual(self.kept()["global"]["parameters"]["stack_name"], "segment-s3")

    def test_after_a_failure_the_questions_come_again(self):
        done = self.run_script(["", "src1", "key", "", "me@example.com"], STATUS="3")
        self.assertEqual((done.returncode, self.kept()), (1, None))

    def test_a_missing_answer_deploys_nothing(self):
        done = self.run_script(["", "", "key", "", "me@example.com"])
        self.assertEqual((done.returncode, done.stdout, self.kept()), (1, "\n", None))

    def test_nothing_is_asked_without_credentials(self):
        done = self.run_script(["", "src1", "key", "", "me@example.com"], CREDENTIALS="255")
        self.assertEqual((done.returncode, done.stdout, self.kept()), (1, "", None))
        self.assertIn("aws configure", done.stderr)


class Destroy(Script):
    script = "deploy/destroy.sh"
    tools = {
        "sam": TOOLS["sam"],
        "aws": """case "$2" in
            describe-stack-resources) printf 'AWS::S3::Bucket\\tstate-1\\nAWS::Logs::LogGroup\\tlog-1\\n' ;;
            describe-stacks) exit "${LEFT-255}" ;;
        esac""",
    }

    def test_what_is_kept_is_named_with_the_commands_that_remove_it(self):
        self.assertIn("make deploy writes it", self.run_script().stderr)
        config = '[default.global.parameters]\nstack_name = "s"\nregion = "eu-west-1"\n'
        (self.folder / "samconfig.toml").write_text(config)
        done = self.run_script()
        said = done.stdout.splitlines()
        self.assertEqual((done.returncode, said[0]), (0, "delete"), done)
        self.assertIn("aws s3 rb --region eu-west-1 --force s3://state-1", said[2])
        self.assertIn("aws logs delete-log-group --region eu-west-1 --log-group-name log-1", said[3])
        # A person may have said no.
        left = self.run_script(LEFT="0")
        self.assertEqual((left.returncode, left.stdout, left.stderr), (1, "delete\n", "the stack s is still there\n"))


class Package(unittest.TestCase):
    def test_the_packaged_template_needs_no_rust(self):
        for architecture in ["x86_64", "arm64"]:
            text = subprocess.run(
                [ROOT / "deploy/packaged-template.sh", architecture], capture_output=True, text=True, check=True
            ).stdout
            template, source = yaml_parse(text), yaml_parse((ROOT / "template.yaml").read_text())
            self.assertEqual(template["Parameters"]["Architecture"]["Default"], architecture)
            self.assertEqual(template["Parameters"]["Architecture"]["AllowedValues"], [architecture])
            for name, code in [("Ingester", "ingester"), ("Exporter", "exporter"), ("ReceiverFunction", "receiver")]:
                self.assertEqual(template["Resources"][name]["Properties"].pop("CodeUri"), f"{code}.zip")
                self.assertNotIn("Metadata", template["Resources"][name])
                del source["Resources"][name]["Properties"]["CodeUri"], source["Resources"][name]["Metadata"]
            self.assertEqual(template["Resources"], source["Resources"])


if __name__ == "__main__":
    unittest.main()
