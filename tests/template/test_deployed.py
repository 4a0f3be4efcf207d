"""tests/template/deployed.json: what the stack gives its functions, for the stories over the real binaries.

The stories run the functions with these rights, so that one too few fails. They make the trouble of each alarm, and look
for its metric.
"""

import json
import os
import unittest

from stack import ROOT, SOURCE, VARIANTS, Stack

FILE = ROOT / "tests/template/deployed.json"
# As the stories name them.
NAMES = {
    "SourceBucket": "segment-s3-source",
    "StateBucket": "segment-s3-state",
    "IngestQueue": "ingest",
    "IngestDeadLetters": "ingest-dead-letters",
    "Ingester": "ingester",
    "Exporter": "exporter",
    "ReceiverFunction": "receiver",
}
DESTINATION = VARIANTS["one destination"]


def policy(resources, role):
    (one,) = resources[role]["Properties"]["Policies"]
    return one["PolicyDocument"]


def metrics(alarm):
    """The metrics that an alarm looks at. An expression of several has a threshold of its own; theirs is 0."""
    properties = alarm["Properties"]
    threshold = properties["Threshold"] if "MetricName" in properties else 0
    asked = [one["MetricStat"]["Metric"] for one in properties.get("Metrics", []) if "MetricStat" in one]
    return [
        {
            "namespace": one["Namespace"],
            "name": one["MetricName"],
            "dimensions": {dimension["Name"]: dimension["Value"] for dimension in one["Dimensions"]},
            "threshold": threshold,
        }
        for one in asked or [properties]
    ]


def deployed():
    stack = Stack({**SOURCE, **DESTINATION, **VARIANTS["receiver"]}, names=NAMES)
    made = stack.resources()
    exporter = stack.outputs()["ExporterRole"]
    other = Stack(
        {
            "ExporterRoleArn": exporter,
            "ExternalId": DESTINATION["DestinationExternalId"],
            "BucketName": DESTINATION["DestinationBucket"],
        },
        "deploy/destination-role.yaml",
    )
    other.account = "111122223333"
    role = other.resources()["Role"]["Properties"]
    alarms = {key: metrics(one) for key, one in made.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
    return {
        "roles": {
            "ingester": {"arn": stack.outputs()["IngesterRole"], "policy": policy(made, "IngesterRole")},
            "exporter": {"arn": exporter, "policy": policy(made, "ExporterRole")},
            "receiver": {"arn": stack.getatt("ReceiverRole.Arn"), "policy": policy(made, "ReceiverRole")},
        },
        "destination": {
            "trust": role["AssumeRolePolicyDocument"],
            "policy": role["Policies"][0]["PolicyDocument"],
        },
        "alarms": alarms,
    }


class Deployed(unittest.TestCase):
    def test_the_stories_have_the_rights_and_alarms_of_the_template(self):
        text = json.dumps(deployed(), indent=2) + "\n"
        if os.environ.get("UPDATE_DOCS") == "1":
            FILE.write_text(text)
        self.assertEqual(FILE.read_text(), text, "run `make template` again with UPDATE_DOCS=1")


if __name__ == "__main__":
    unittest.main()
