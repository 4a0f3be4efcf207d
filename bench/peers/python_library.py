"""Segment's library for Python as its documentation shows it. MODE=tuned waits while its queue is full, and sends larger
batches in two threads."""

import csv
import io
import os
import sys
import time
from datetime import datetime

import boto3
from segment.analytics.client import Client

QUEUE_MAX = 9_000

tuned = os.environ.get("MODE") == "tuned"
kind = os.environ["KEY"].split("_")[0]


def rows():
    s3 = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"])
    body = s3.get_object(Bucket=os.environ["BUCKET"], Key=os.environ["KEY"])["Body"]
    yield from csv.reader(io.TextIOWrapper(body, encoding="utf-8", newline=""))


def nested(columns, cells):
    call = {}
    for path, cell in zip(columns, cells):
        if cell:
            at = call
            for name in path[:-1]:
                at = at.setdefault(name, {})
            at[path[-1]] = cell
    return call


def arguments(call):
    sent = {"user_id": call.get("userId"), "context": call.get("context")}
    if "timestamp" in call:
        sent["timestamp"] = datetime.fromisoformat(call["timestamp"].replace("Z", "+00:00"))
    if kind == "track":
        return {**sent, "event": call["event"], "properties": call.get("properties")}
    return {**sent, "traits": call.get("traits")}


client = Client(os.environ["WRITE_KEY"], host=os.environ["SEGMENT_HOST"], **({"upload_size": 1000, "thread": 2} if tuned else {}))
send = getattr(client, kind)
table = rows()
columns = [name.split(".") for name in next(table)]
refused = 0
for cells in table:
    while tuned and client.queue.qsize() > QUEUE_MAX:
        time.sleep(0.01)
    accepted, _ = send(**arguments(nested(columns, cells)))
    refused += not accepted
client.shutdown()
if refused:
    print(f"the full queue refused {refused} calls", file=sys.stderr)
