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

SAM = """#!/bin/sh
printf '%s\\n' "$@"
exit "${STATUS-0}"
"""


class Deploy(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "deploy").mkdir()
        shutil.copy(ROOT / "deploy/deploy.sh", self.folder / "deploy")
        sam = self.folder / "sam"
        sam.write_text(SAM)
        sam.chmod(0o755)

    def run_script(self, answers=(), **env):
        return subprocess.run(
            [self.folder / "deploy/deploy.sh"],
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", **env},
            input="".join(f"{answer}\n" for answer in answers),
            capture_output=True,
            text=True,
            check=False,
        )

    def kept(self):
        path = self.folder / "samconfig.toml"
        return tomllib.loads(path.read_text())["default"] if path.exists() else None

    def test_five_answers_deploy_and_the_write_key_is_not_kept(self):
        done = self.run_script(["eu-central-1", "src1", "key-xyz", "eu", "me@example.com"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("WriteKey=key-xyz", done.stdout.splitlines())
        self.assertNotIn("key-xyz", str(self.kept()))
        self.assertEqual(self.kept()["global"]["parameters"]["region"], "eu-central-1")
        overrides = self.kept()["deploy"]["parameters"]["parameter_overrides"]
        self.assertEqual(sorted(overrides), sorted(set(done.stdout.splitlines()) & set(overrides)))
        again = self.run_script()
        self.assertEqual(again.stdout, "deploy\n")

    def test_a_secret_is_kept_by_its_arn(self):
        arn = "arn:aws:secretsmanager:eu-central-1:1:secret:k"
        done = self.run_script(["", "src1", arn, "", "me@example.com"])
        self.assertIn(f"WriteKeySecretArn={arn}", done.stdout.splitlines())
        self.assertIn(f"WriteKeySecretArn={arn}", self.kept()["deploy"]["parameters"]["parameter_overrides"])

    def test_after_a_failure_the_questions_come_again(self):
        done = self.run_script(["", "src1", "key", "", "me@example.com"], STATUS="3")
        self.assertEqual((done.returncode, self.kept()), (1, None))

    def test_a_missing_answer_deploys_nothing(self):
        done = self.run_script(["", "", "key", "", "me@example.com"])
        self.assertEqual((done.returncode, done.stdout, self.kept()), (1, "\n", None))


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
