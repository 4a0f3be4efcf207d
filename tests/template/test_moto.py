"""Creates each variant in moto: every reference is real, and every resource is one that an API takes.

moto makes no alarms' state, ignores rules of parameters and notifications of buckets. docs/deploy.md says how a person
checks these.
"""

import json
import os
import unittest

import boto3
from moto import mock_aws

import stack
from stack import ACCOUNT, REGION, SOURCE, VARIANTS, Stack

os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION=REGION)

# moto's CloudFormation knows these types not, or makes nothing of them. cfn-lint knows their properties.
NOT_MADE = {
    "AWS::CloudWatch::Alarm",
    "AWS::Events::EventBusPolicy",
    "AWS::Lambda::Url",
    "AWS::Logs::QueryDefinition",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}


def given(parameters):
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]


def create(name, parameters):
    """The types of the resources that moto made, by logical id."""
    boto3.client("s3").create_bucket(Bucket="code")
    boto3.client("s3").put_object(Bucket="code", Key="zip", Body=b"")
    client = boto3.client("cloudformation")
    # moto keeps `null` where CloudFormation drops AWS::NoValue.
    template = Stack(parameters, name).decided()
    # It makes no URL of a function, so this output has nothing to refer to.
    template.get("Outputs", {}).pop("ReceiverUrl", None)
    body = json.dumps(template)
    client.create_stack(
        StackName=stack.STACK, TemplateBody=body, Parameters=given(parameters), Capabilities=["CAPABILITY_IAM"]
    )
    (made,) = client.describe_stacks(StackName=stack.STACK)["Stacks"]
    assert made["StackStatus"] == "CREATE_COMPLETE", made["StackStatus"]
    resources = client.list_stack_resources(StackName=stack.STACK)["StackResourceSummaries"]
    return {one["LogicalResourceId"]: one["ResourceType"] for one in resources}


class Creation(unittest.TestCase):
    def test_each_variant_is_created_with_all_its_resources(self):
        for name, parameters in VARIANTS.items():
            with self.subTest(name), mock_aws():
                made = create("template.yaml", {**SOURCE, **parameters})
                expected = stack.variant(name).resources()
                expected = {key for key, one in expected.items() if one["Type"] not in NOT_MADE}
                self.assertEqual(sorted(expected - set(made)), [])

    def test_the_other_sides_are_created(self):
        role = {"ExporterRoleArn": f"arn:aws:iam::{ACCOUNT}:role/e", "ExternalId": "id", "BucketName": "logs"}
        bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/b"
        source = {"BucketName": "b", "SourceBusArn": bus, "IngesterRoleArn": f"arn:aws:iam::{ACCOUNT}:role/i"}
        for name, parameters in [
            ("deploy/destination-role.yaml", {**role, "MakeBucket": "true"}),
            ("deploy/source-account.yaml", source),
        ]:
            with self.subTest(name), mock_aws():
                self.assertTrue(create(name, parameters))


if __name__ == "__main__":
    unittest.main()
