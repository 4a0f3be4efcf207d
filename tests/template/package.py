"""A package in moto: its template makes each function from its own zip, for its architecture.

`tests/package.sh` runs it with PACKAGE, the folder, and ARCHITECTURE.
"""

import base64
import hashlib
import json
import os
import unittest
from pathlib import Path

import boto3
from moto import mock_aws

from stack import SOURCE, VARIANTS, Stack
from test_moto import given

FOLDER, ARCHITECTURE = Path(os.environ["PACKAGE"]), os.environ["ARCHITECTURE"]
PARAMETERS = {**SOURCE, **VARIANTS["one destination"], **VARIANTS["receiver"]}


def digest(zip_file):
    return base64.b64encode(hashlib.sha256(zip_file.read_bytes()).digest()).decode()


class Package(unittest.TestCase):
    @mock_aws
    def test_each_function_is_made_from_its_own_zip(self):
        zips = sorted(FOLDER.glob("*.zip"))
        boto3.client("s3").create_bucket(Bucket="code")
        for one in zips:
            boto3.client("s3").put_object(Bucket="code", Key=one.name, Body=one.read_bytes())
        template = Stack(PARAMETERS, FOLDER / "template.yaml").decided()
        template["Outputs"].pop("ReceiverUrl")
        boto3.client("cloudformation").create_stack(
            StackName="package", TemplateBody=json.dumps(template), Parameters=given(PARAMETERS)
        )
        made = boto3.client("lambda").list_functions()["Functions"]
        expected = {name: digest(FOLDER / f"{name.lower()}.zip") for name in ["Ingester", "Exporter", "Receiver"]}
        found = {name: one["CodeSha256"] for name in expected for one in made if f"-{name}" in one["FunctionName"]}
        self.assertEqual((len(zips), len(made), found), (3, 3, expected))
        self.assertEqual({tuple(one["Architectures"]) for one in made}, {(ARCHITECTURE,)})


if __name__ == "__main__":
    unittest.main()
