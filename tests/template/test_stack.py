"""The template, way by way: what is made, who may do what, and who is told."""

import json
import unittest

import stack
from stack import ACCOUNT, REGION, SOURCE, STACK, VARIANTS, Stack, variant


def statements(resources):
    """Every statement of every role and resource policy, with the logical id of its resource."""
    for key, resource in resources.items():
        properties = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        for document in documents:
            for statement in document["Statement"]:
                yield key, statement


def as_list(value):
    return value if isinstance(value, list) else [value]


class EachVariant(unittest.TestCase):
    """What holds however the stack is deployed."""

    def check(self, check):
        for name in VARIANTS:
            with self.subTest(name):
                check(variant(name))

    def test_no_rule_is_broken(self):
        self.check(lambda one: self.assertEqual(one.broken_rules(), []))

    def test_nothing_is_allowed_on_everything_and_no_action_has_a_wildcard(self):
        def check(one):
            for key, statement in statements(one.resources()):
                if statement["Effect"] != "Allow":
                    continue
                for resource in as_list(statement["Resource"]):
                    bare = resource.removesuffix("/*").removesuffix(":*")
                    # A folder in any folder.
                    bare = bare.removesuffix("/*rejected") if statement.get("Sid") == "WriteRejectedFolder" else bare
                    self.assertNotIn("*", bare, key)
                for action in as_list(statement["Action"]):
                    self.assertNotIn("*", action, key)

        self.check(check)

    def test_a_function_has_a_role_of_its_own_and_no_managed_policy(self):
        def check(one):
            roles = one.resources("AWS::IAM::Role")
            expected = ["ExporterRole", "IngesterRole"] + (["ReceiverRole"] if one.condition("Receives") else [])
            self.assertEqual(sorted(roles), expected)
            for role in roles.values():
                self.assertNotIn("ManagedPolicyArns", role["Properties"])
            for key, function in one.resources("AWS::Lambda::Function").items():
                self.assertTrue(function["Properties"]["Role"].endswith(f"{key.removesuffix('Function')}Role"))

        self.check(check)

    def test_http_is_refused_by_every_bucket_queue_and_topic(self):
        def check(one):
            made = one.resources()
            kinds = ("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SNS::Topic")
            asked = [key for key, resource in made.items() if resource["Type"] in kinds]
            refusing = {
                key.removesuffix("Policy")
                for key, statement in statements(made)
                if statement["Effect"] == "Deny"
                and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            }
            self.assertEqual(set(asked), refusing)

        self.check(check)

    def test_two_stacks_in_one_account_do_not_meet(self):
        def check(one):
            for key, resource in one.resources().items():
                for name, value in resource["Properties"].items():
                    named = name in ("Name", "BucketName", "QueueName", "TopicName", "RoleName", "DashboardName", "LogGroupName")
                    if named and key != "IngesterQueue":
                        self.assertIn(STACK, value, f"{key}.{name}")

        self.check(check)

    def test_a_message_outlives_its_queue_among_the_dead_letters(self):
        def check(one):
            queues = one.resources("AWS::SQS::Queue")
            retention = {key: queue["Properties"]["MessageRetentionPeriod"] for key, queue in queues.items()}
            self.assertLess(retention["IngestQueue"], retention["IngestDeadLetters"])
            timeout = one.resources("AWS::Lambda::Function")["Ingester"]["Properties"]["Timeout"]
            self.assertEqual(queues["IngestQueue"]["Properties"]["VisibilityTimeout"], 6 * int(timeout))

        self.check(check)

    def test_what_holds_data_is_kept_when_the_stack_is_deleted_and_nothing_is_left_of_a_failed_creation(self):
        def check(one):
            for key, resource in one.resources().items():
                if resource["Type"] in ("AWS::S3::Bucket", "AWS::Logs::LogGroup"):
                    self.assertEqual(resource["DeletionPolicy"], "RetainExceptOnCreate", key)
                    self.assertEqual(resource["UpdateReplacePolicy"], "Retain", key)

        self.check(check)

    def test_the_dashboard_is_json(self):
        self.check(lambda one: json.loads(one.resources()["Dashboard"]["Properties"]["DashboardBody"]))

    def test_every_parameter_is_in_a_group_and_every_alarm_says_what_to_do(self):
        template = stack.read("template.yaml")
        groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        self.assertEqual(sorted(sum((group["Parameters"] for group in groups), [])), sorted(template["Parameters"]))
        for alarm in variant("one destination").resources("AWS::CloudWatch::Alarm").values():
            self.assertGreaterEqual(alarm["Properties"]["AlarmDescription"].count(". "), 1)


class Source(unittest.TestCase):
    def test_the_stack_has_a_bucket_unless_another_is_named(self):
        for name in VARIANTS:
            own = "SourceBucket" in variant(name).resources()
            self.assertEqual(own, "bucket" not in name, name)

    def test_an_existing_bucket_comes_by_a_rule_for_exactly_this_bucket(self):
        one = variant("existing bucket with KMS")
        made = one.resources()
        pattern = made["ExistingSource"]["Properties"]["EventPattern"]
        self.assertEqual(pattern["detail-type"], ["Object Created"])
        self.assertEqual(pattern["detail"]["bucket"], {"name": ["crm-exports", "shop-exports"]})
        self.assertEqual(pattern["detail"]["object"], {"key": [{"wildcard": "in/*.csv"}]})
        allowed = [one for key, one in statements(made) if key == "IngestQueuePolicy" and one["Effect"] == "Allow"]
        arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{STACK}-ExistingSource"
        self.assertEqual([one["Condition"] for one in allowed], [{"ArnEquals": {"aws:SourceArn": arn}}])
        rights = {one["Sid"]: one for key, one in statements(made) if key == "IngesterRole"}
        objects = ["arn:aws:s3:::crm-exports/*", "arn:aws:s3:::shop-exports/*"]
        self.assertEqual(rights["ReadFiles"]["Resource"], objects)
        self.assertEqual(rights["ListFiles"]["Resource"], ["arn:aws:s3:::crm-exports", "arn:aws:s3:::shop-exports"])
        keys = VARIANTS["existing bucket with KMS"]["SourceKmsKeyArns"]
        self.assertEqual((rights["DecryptFiles"]["Action"], rights["DecryptFiles"]["Resource"]), ("kms:Decrypt", [keys]))

    def test_owners_are_told_and_get_their_rows_only_if_the_stack_says_so(self):
        made = variant("existing bucket, told owners").resources()
        rights = {one["Sid"]: one for key, one in statements(made) if key == "IngesterRole"}
        folders = ["arn:aws:s3:::crm-exports/*rejected/*", "arn:aws:s3:::shop-exports/*rejected/*"]
        self.assertEqual(rights["WriteRejectedFolder"]["Resource"], folders)
        self.assertEqual(rights["DecryptFiles"]["Action"], ["kms:Decrypt", "kms:GenerateDataKey"])
        topic = VARIANTS["existing bucket, told owners"]["FileTopicArn"]
        self.assertEqual((rights["TellOwners"]["Action"], rights["TellOwners"]["Resource"]), ("sns:Publish", topic))
        others = {one["Sid"] for key, one in statements(variant("defaults").resources()) if key == "IngesterRole"}
        self.assertFalse(others & {"WriteRejectedFolder", "TellOwners"})

    def test_a_forwarded_bucket_comes_over_a_bus_that_takes_only_the_accounts_named(self):
        made = variant("existing and forwarded buckets").resources()
        policy = made["SourceBusPolicy"]["Properties"]["Statement"]
        self.assertEqual(policy["Principal"], {"AWS": ["210987654321"]})
        self.assertEqual(made["ForwardedSource"]["Properties"]["EventPattern"]["account"], ["210987654321"])
        rights = {one["Sid"]: one for key, one in statements(made) if key == "IngesterRole"}
        self.assertEqual(rights["ReadFiles"]["Resource"], ["arn:aws:s3:::crm-exports/*", "arn:aws:s3:::elsewhere/*"])


class Receiver(unittest.TestCase):
    def test_a_url_that_anybody_may_call_has_both_permissions_and_no_headers_of_its_own(self):
        made = variant("receiver").resources()
        url = made["ReceiverFunctionUrl"]["Properties"]
        function = f"{STACK}-ReceiverFunction"
        self.assertEqual(url, {"AuthType": "NONE", "TargetFunctionArn": function})
        permissions = variant("receiver").resources("AWS::Lambda::Permission").values()
        given = [one["Properties"] for one in permissions if one["Properties"]["FunctionName"] == function]
        expected = [
            {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
            {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
        ]
        common = {"FunctionName": function, "Principal": "*"}
        self.assertCountEqual(given, [{**one, **common} for one in expected])

    def test_it_may_put_calls_and_rejects_and_nothing_else(self):
        bucket = f"arn:aws:s3:::{STACK}-StateBucket"
        rights = {one["Sid"]: one for key, one in statements(variant("receiver").resources()) if key == "ReceiverRole"}
        self.assertEqual(sorted(rights), ["KeepCalls", "WriteLog"])
        self.assertEqual(rights["KeepCalls"]["Action"], "s3:PutObject")
        self.assertEqual(rights["KeepCalls"]["Resource"], [f"{bucket}/received/*", f"{bucket}/rejects/received/*"])
        log = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{STACK}-ReceiverLog:*"
        self.assertEqual(rights["WriteLog"]["Resource"], log)
        for name, more in [("routes", {"ReadConfig", "ReadSecrets"}), ("everything of ours", {"UseKey"})]:
            sids = {one["Sid"] for key, one in statements(variant(name).resources()) if key == "ReceiverRole"}
            self.assertEqual(sids - set(rights), more)

    def test_the_stack_has_it_only_if_asked_and_an_exporter_only_with_a_destination(self):
        kinds = [key for key in variant("defaults").resources() if key.startswith("Receiver")]
        self.assertEqual(kinds, [])
        made = variant("receiver").resources()
        self.assertNotIn("Exporter", made)
        variables = made["Ingester"]["Properties"]["Environment"]["Variables"]
        self.assertEqual(variables["KEEP_FOR_EXPORT"], "false")
        self.assertEqual(variant("receiver").outputs()["ReceiverUrl"], self.address())
        self.assertNotIn("ReceiverUrl", variant("defaults").outputs())

    def address(self):
        """As libraries take it: they append a path that begins with a slash."""
        return f"https://{STACK}-receiverfunctionurl.lambda-url.{REGION}.on.aws"

    def test_each_parameter_becomes_a_setting(self):
        function = variant("everything of ours").resources()["ReceiverFunction"]["Properties"]
        variables = function["Environment"]["Variables"]
        expected = {
            "WRITE_KEYS": "",
            "UNKNOWN_KEYS": "others",
            "WEBHOOK_SECRETS": "demoSource1=s",
            "TRUSTED_HOPS": "1",
            "SOURCE_CALLS_PER_SECOND": "100",
            "INCLUDE_WRITE_KEY": "false",
            "STATE_BUCKET": f"{STACK}-StateBucket",
            "SERVICE_NAME": STACK,
        }
        self.assertEqual({name: variables[name] for name in expected}, expected)
        self.assertEqual((function["MemorySize"], function["Timeout"]), (256, 30))

    def test_a_key_or_a_secret_is_not_shown(self):
        parameters = stack.read("template.yaml")["Parameters"]
        self.assertTrue(parameters["ReceiverWriteKeys"]["NoEcho"] and parameters["ReceiverWebhookSecrets"]["NoEcho"])


class Rules(unittest.TestCase):
    def test_parameters_that_do_not_fit_together_are_refused_in_words(self):
        destination = VARIANTS["one destination"]
        for parameters, word in [
            ({}, "Give SourceId"),
            ({"SourceId": "s"}, "SourceId needs WriteKey"),
            ({"WriteKey": "k"}, "need SourceId too"),
            ({"WriteKeySecretArn": "arn:aws:secretsmanager:x"}, "need SourceId too"),
            ({**SOURCE, "WriteKeySecretArn": "arn:aws:secretsmanager:x"}, "Keep one of them"),
            ({**SOURCE, "ForwardedSourceBuckets": "b"}, "ForwardingAccounts"),
            ({**SOURCE, "DestinationBucket": "b"}, "DestinationRoleArn is missing"),
            ({**SOURCE, **destination, "DestinationBucket": ""}, "DestinationBucket is missing"),
            ({**SOURCE, "ReservedConcurrency": "4", "Concurrency": "5"}, "smaller than Concurrency"),
            ({**SOURCE, "ReservedConcurrency": "9", "Concurrency": "12"}, "smaller than Concurrency"),
            ({**SOURCE, **destination, "DestinationRoleArns": "arn:aws:iam::1:role/x"}, "together with"),
            ({**SOURCE, "DestinationRoleArns": "arn:aws:iam::1:role/x"}, "needs Config too"),
            ({**SOURCE, "Receiver": "url"}, "would refuse every call"),
        ]:
            broken = " ".join(Stack(parameters).broken_rules())
            self.assertIn(word, broken, parameters)

    def test_as_many_reserved_instances_as_ingesters_are_enough(self):
        for reserved, ingesters in [("2", "2"), ("5", "5"), ("9", "8"), ("40", "12"), ("", "50")]:
            given = {**SOURCE, "ReservedConcurrency": reserved, "Concurrency": ingesters}
            self.assertEqual(Stack(given).broken_rules(), [])


class Outputs(unittest.TestCase):
    def test_a_stack_that_exports_nothing_says_so(self):
        config = Stack({"Config": '[[destination]]\nname = "logs"'}).outputs()["Export"]
        self.assertTrue(config.startswith("NOTHING IS KEPT FOR EXPORT"), config)
        self.assertTrue(variant("defaults").outputs()["Export"].startswith("No."))
        for name in ["routes", "one destination"]:
            self.assertTrue(variant(name).outputs()["Export"].startswith("The exporter writes"), name)

    def test_the_first_file_has_a_key_that_is_ingested(self):
        sample, own = "samples/track_1.csv s3://b/", "FILE s3://b/"
        for prefix, suffix, expected in [
            ("", "", sample),
            ("in/", ".csv", f"{sample}in/"),
            ("in/orders_", "", f"{own}in/orders_NAME"),
            ("in/", ".csv.gz", f"{own}in/NAME.csv.gz"),
        ]:
            given = {**SOURCE, "ExistingSourceBuckets": "b", "SourcePrefix": prefix, "SourceSuffix": suffix}
            command = Stack(given).outputs()["Next2Drop"]
            self.assertEqual(command, f"aws s3 cp --region {REGION} {expected}")


class Told(unittest.TestCase):
    def actions(self, name):
        alarms = variant(name).resources("AWS::CloudWatch::Alarm")
        return {key: alarm["Properties"]["AlarmActions"] for key, alarm in alarms.items()}

    def test_a_colleagues_file_pages_nobody(self):
        for name, alarms, notices in [
            ("e-mail", f"arn:aws:sns:{REGION}:{ACCOUNT}:{STACK}-AlarmTopic", f"arn:aws:sns:{REGION}:{ACCOUNT}:{STACK}-NoticeTopic"),
            ("everything of ours", f"arn:aws:sns:{REGION}:{ACCOUNT}:mine", f"arn:aws:sns:{REGION}:{ACCOUNT}:theirs"),
        ]:
            for key, actions in self.actions(name).items():
                self.assertEqual(actions, [notices if key.endswith("Notice") else alarms], key)

    def test_without_anybody_to_tell_the_outputs_say_so_in_capitals(self):
        outputs = variant("defaults").outputs()
        self.assertTrue(outputs["Alarms"].startswith("NOBODY IS TOLD"))
        self.assertTrue(outputs["Notices"].startswith("NOBODY IS TOLD"))
        self.assertIn("on-call@example.com", variant("e-mail").outputs()["Alarms"])

    def test_the_exporter_has_alarms_only_where_there_is_an_exporter(self):
        of_exporter = {key for key in self.actions("one destination") if key not in self.actions("defaults")}
        self.assertIn("ExporterStillAlarm", of_exporter)
        self.assertNotIn("Exporter", variant("defaults").resources())
        self.assertIn("ExporterRole", variant("defaults").resources())


class OtherSide(unittest.TestCase):
    ROLE = f"arn:aws:iam::{ACCOUNT}:role/segment-s3-ExporterRole-*"

    def role(self, **parameters):
        given = {"ExporterRoleArn": self.ROLE, "ExternalId": "id", "BucketName": "logs", **parameters}
        return Stack(given, "deploy/destination-role.yaml").resources()

    def test_the_role_of_a_destination_trusts_the_account_for_one_role_name_and_may_only_put(self):
        made = self.role()
        self.assertEqual(list(made), ["Role"])
        (trust,) = made["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual(trust["Principal"], {"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
        self.assertEqual(trust["Condition"]["ArnEquals"], {"aws:PrincipalArn": self.ROLE})
        self.assertEqual(trust["Condition"]["StringEquals"], {"sts:ExternalId": "id"})
        (right,) = made["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        self.assertEqual((right["Action"], right["Resource"]), (["s3:PutObject"], "arn:aws:s3:::logs/segment-logs/*"))

    def test_bucket_prefix_key_and_acl_are_optional(self):
        made = self.role(MakeBucket="true", Prefix="a/b/", KmsKeyArn="arn:aws:kms:x:1:key/k", AllowAcl="true")
        self.assertEqual(sorted(made), ["Bucket", "BucketPolicy", "Role"])
        put, key = made["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        self.assertEqual(put["Resource"], "arn:aws:s3:::logs/a/b/segment-logs/*")
        self.assertEqual(put["Action"], ["s3:PutObject", "s3:PutObjectAcl"])
        self.assertEqual(key["Resource"], "arn:aws:kms:x:1:key/k")

    def source(self, **parameters):
        given = {
            "BucketName": "b",
            "SourceBusArn": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/x",
            "IngesterRoleArn": f"arn:aws:iam::{ACCOUNT}:role/segment-s3-IngesterRole-*",
            "MakeBucketPolicy": "true",
            **parameters,
        }
        return Stack(given, "deploy/source-account.yaml")

    def test_the_statements_to_paste_are_those_that_the_stack_would_make(self):
        for folder, more, key in [
            ("false", [], "kms:Decrypt"),
            ("true", [("s3:PutObject", "arn:aws:s3:::b/*rejected/*")], ["kms:Decrypt", "kms:GenerateDataKey"]),
        ]:
            one = self.source(RejectedFolder=folder)
            made = one.resources()["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
            self.assertEqual(json.loads(one.outputs()["BucketPolicyStatements"]), made)
            self.assertEqual([(right["Action"], right["Resource"]) for right in made[2:]], more)
            self.assertEqual(json.loads(one.outputs()["KeyPolicyStatement"])["Action"], key)

    def test_events_that_the_bus_does_not_take_are_told(self):
        def actions(one):
            return one.resources()["UndeliveredAlarm"]["Properties"]["AlarmActions"]

        nobody, mail = self.source(), self.source(AlarmEmail="me@example.com", AlarmTopicArn="arn:mine")
        self.assertTrue(nobody.outputs()["Alarms"].startswith("NOBODY IS TOLD"))
        self.assertEqual(actions(nobody), [])
        self.assertEqual(actions(mail), [f"arn:aws:sns:{REGION}:{ACCOUNT}:{STACK}-AlarmTopic", "arn:mine"])
        self.assertIn('{"backfill":{"bucket":"b"}}', nobody.outputs()["EventsOfTheGap"])


if __name__ == "__main__":
    unittest.main()
