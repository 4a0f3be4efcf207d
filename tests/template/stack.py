"""The template as CloudFormation sees it: translated by SAM's own translator, and its functions evaluated.

A small evaluator instead of moto's: moto evaluates no `Rules` and keeps `null` where CloudFormation drops
`AWS::NoValue`.
"""

import copy
import functools
import json
import os
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, REGION, STACK = "123456789012", "us-east-1", "segment-s3"
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()

# The translator asks for it.
os.environ["AWS_DEFAULT_REGION"] = REGION

# The parameters of each way to deploy that is tried.
VARIANTS = {
    "defaults": {},
    "existing bucket with KMS": {
        "ExistingSourceBuckets": "crm-exports,shop-exports",
        "SourceKmsKeyArns": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555",
        "SourcePrefix": "in/",
        "SourceSuffix": ".csv",
    },
    "forwarded bucket": {"ForwardedSourceBuckets": "elsewhere", "ForwardingAccounts": "210987654321"},
    "existing and forwarded buckets": {
        "ExistingSourceBuckets": "crm-exports",
        "ForwardedSourceBuckets": "elsewhere",
        "ForwardingAccounts": "210987654321",
    },
    "one destination": {
        "DestinationBucket": "customer-logs",
        "DestinationRegion": REGION,
        "DestinationRoleArn": "arn:aws:iam::111122223333:role/SegmentAWSS3Role",
        "DestinationExternalId": "demo-workspace",
    },
    "routes": {
        "WriteKey": "",
        "SourceId": "",
        "Config": "s3://segment-s3-config/segment-s3.toml",
        "ConfigSecretArns": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:one-AbCdEf",
        "DestinationRoleArns": "arn:aws:iam::111122223333:role/Stage,arn:aws:iam::444455556666:role/Prod",
        "Receiver": "url",
    },
    "existing bucket, told owners": {
        "ExistingSourceBuckets": "crm-exports,shop-exports",
        "SourceKmsKeyArns": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555",
        "FileTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:files",
        "RejectedFolder": "true",
    },
    "secret": {
        "WriteKey": "",
        "WriteKeySecretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:write-key-AbCdEf",
    },
    "receiver": {"Receiver": "url", "ReceiverWriteKeys": "wk=demoSource1"},
    "e-mail": {"AlarmEmail": "on-call@example.com", "NoticeEmail": "data@example.com"},
    "everything of ours": {
        "KmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/99999999-2222-3333-4444-555555555555",
        "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
        "Architecture": "arm64",
        "Timeout": "300",
        "MemorySize": "1024",
        "ReservedConcurrency": "4",
        "SourceDays": "90",
        "AlarmTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:mine",
        "NoticeTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:theirs",
        "MoreSettings": "REJECT_LIMIT_ROWS=10; PROFILE=false",
        "Receiver": "url",
        "ReceiverUnknownKeys": "others",
        "ReceiverWebhookSecrets": "demoSource1=s",
        "ReceiverTrustedHops": "1",
        "ReceiverCallsPerSecond": "100",
    },
}
SOURCE = {"WriteKey": "wk", "SourceId": "demoSource1"}


class Policies:
    """The translator asks for the ARNs of managed policies."""

    def load(self):
        return {"AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}


def read(name):
    """A template of the repository, with long forms of the functions."""
    return yaml_parse((ROOT / name).read_text())


def translated(name="template.yaml", parameters=None):
    """The template after SAM's transform, with code that is already uploaded."""
    template = read(name)
    if "Transform" not in template:
        return template
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # A packaged template names the zip of each function.
            code = resource["Properties"]["CodeUri"]
            resource["Properties"]["CodeUri"] = f"s3://code/{code if code.endswith('.zip') else 'zip'}"
    values = {name: spec.get("Default", "") for name, spec in template["Parameters"].items()}
    result = transform(copy.deepcopy(template), {**values, **(parameters or {})}, Policies())
    return json.loads(json.dumps(result))


class Stack:
    """A template with parameters: what CloudFormation would make."""

    def __init__(self, parameters, name="template.yaml", names=None):
        self.template = translated(name, parameters)
        self.parameters = {}
        for key, spec in self.template["Parameters"].items():
            value = str(parameters.get(key, spec.get("Default", "")))
            self.parameters[key] = value.split(",") if spec["Type"] == "CommaDelimitedList" else value
        unknown = set(parameters) - set(self.parameters)
        if unknown:
            raise KeyError(f"no parameters of {name}: {sorted(unknown)}")
        self.names, self.account = names or {}, ACCOUNT

    def resources(self, kind=None):
        """The resources that are made, with evaluated properties, by logical id."""
        made = {}
        for key, resource in self.template["Resources"].items():
            if kind in (None, resource["Type"]) and self.exists(key):
                made[key] = {**resource, "Properties": self.value(resource.get("Properties", {}))}
        return made

    def exists(self, key):
        condition = self.template["Resources"][key].get("Condition")
        return condition is None or self.condition(condition)

    def outputs(self):
        outputs = self.template["Outputs"].items()
        made = [(key, spec) for key, spec in outputs if "Condition" not in spec or self.condition(spec["Condition"])]
        return {key: self.value(spec["Value"]) for key, spec in made}

    def condition(self, name):
        return self.test(self.template["Conditions"][name])

    def broken_rules(self):
        """The descriptions of the assertions that do not hold."""
        broken = []
        for rule in self.template.get("Rules", {}).values():
            if "RuleCondition" not in rule or self.test(rule["RuleCondition"]):
                broken += [one["AssertDescription"] for one in rule["Assertions"] if not self.test(one["Assert"])]
        return broken

    def test(self, expression):
        ((function, argument),) = expression.items()
        if function == "Condition":
            return self.condition(argument)
        if function == "Fn::Not":
            return not self.test(argument[0])
        if function == "Fn::And":
            return all(self.test(one) for one in argument)
        if function == "Fn::Or":
            return any(self.test(one) for one in argument)
        if function == "Fn::Equals":
            return self.value(argument[0]) == self.value(argument[1])
        if function == "Fn::EachMemberEquals":
            return all(one == argument[1] for one in self.value(argument[0]))
        if function == "Fn::Contains":
            return self.value(argument[1]) in self.value(argument[0])
        raise NotImplementedError(function)

    def value(self, node):
        if isinstance(node, list):
            values = [self.value(one) for one in node]
            return [one for one in values if one is not NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function == "Ref":
                return self.ref(argument)
            if function.startswith("Fn::"):
                return getattr(self, function[4:].lower())(argument)
        values = {key: self.value(one) for key, one in node.items()}
        return {key: one for key, one in values.items() if one is not NOTHING}

    def ref(self, name):
        if name == "AWS::NoValue":
            return NOTHING
        if name in self.parameters:
            return self.parameters[name]
        if name == "AWS::AccountId":
            return self.account
        if name in PSEUDO:
            return PSEUDO[name]
        return self.name_of(name)

    def name_of(self, key):
        """The name, ARN or URL by which others refer to a resource."""
        if not self.exists(key):
            raise KeyError(f"{key} is not made, and something refers to it")
        name = self.names.get(key, f"{STACK}-{key}")
        kind = self.template["Resources"][key]["Type"]
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
        if kind == "AWS::SNS::Topic":
            return f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}"
        return name

    def getatt(self, argument):
        key, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
        self.name_of(key)
        name, kind = self.names.get(key, f"{STACK}-{key}"), self.template["Resources"][key]["Type"]
        if attribute in ("QueueName", "Name"):
            return name
        if attribute == "FunctionUrl":
            return f"https://{name.lower()}.lambda-url.{REGION}.on.aws/"
        if attribute != "Arn":
            raise NotImplementedError(f"{kind}.{attribute}")
        return {
            "AWS::S3::Bucket": f"arn:aws:s3:::{name}",
            "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
            "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*",
            "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{name}",
            "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}",
            "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}",
            "AWS::Events::EventBus": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}",
        }[kind]

    def sub(self, argument):
        text, own = argument if isinstance(argument, list) else (argument, {})
        parts = text.split("${")
        result = parts[0]
        for part in parts[1:]:
            name, rest = part.split("}", 1)
            value = self.value(own[name]) if name in own else self.getatt(name) if "." in name else self.ref(name)
            result += str(value) + rest
        return result

    def join(self, argument):
        return argument[0].join(str(one) for one in self.value(argument[1]))

    def split(self, argument):
        return self.value(argument[1]).split(argument[0])

    def select(self, argument):
        return self.value(argument[1])[int(argument[0])]

    def findinmap(self, argument):
        name, first, second = (self.value(one) for one in argument)
        return self.template["Mappings"][name][str(first)][second]

    def decided(self):
        """The template with conditions and mappings decided: references stay, what is not made is gone."""

        def decide(node):
            if isinstance(node, list):
                return [one for one in map(decide, node) if one is not NOTHING]
            if not isinstance(node, dict):
                return node
            if "Fn::If" in node:
                condition, yes, no = node["Fn::If"]
                return decide(yes if self.condition(condition) else no)
            if node == {"Ref": "AWS::NoValue"}:
                return NOTHING
            if "Fn::FindInMap" in node:
                return self.findinmap(node["Fn::FindInMap"])
            pairs = {key: decide(one) for key, one in node.items()}
            return {key: one for key, one in pairs.items() if one is not NOTHING}

        parts = {part: self.template[part] for part in ("AWSTemplateFormatVersion", "Parameters") if part in self.template}
        for part in ("Resources", "Outputs"):
            made = {k: v for k, v in self.template[part].items() if "Condition" not in v or self.condition(v["Condition"])}
            parts[part] = {key: decide({k: v for k, v in one.items() if k != "Condition"}) for key, one in made.items()}
        return parts

    def __getattr__(self, name):
        if name == "if":
            return lambda argument: self.value(argument[1] if self.condition(argument[0]) else argument[2])
        raise AttributeError(name)


@functools.cache
def variant(name):
    """The stack of one of the variants."""
    return Stack({**SOURCE, **VARIANTS[name]})
