//! Invocations by S3 Batch Operations (S3 user guide, "Invoke AWS Lambda function").
//!
//! The function queues the object of each task and answers for each of them. `Succeeded` means *queued*: the objects are
//! ingested from the queue, at its pace and concurrency.

use super::Notice;
use super::record::{decode_key, keys};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Value;

/// An invocation of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    schema_version: String,
    invocation_id: String,
    /// One object each.
    pub tasks: Vec<Task>,
}

/// A task of a job: one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The id, which the result repeats.
    id: String,
    /// The object, or why the task names none.
    pub notice: Result<Notice, TaskFault>,
}

/// Why a task names no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskFault {
    /// No key, or an empty one.
    #[error("`s3Key` is missing: write the manifest with the columns Bucket and Key")]
    KeyMissing,
    /// Neither the name nor the ARN of a bucket.
    #[error("the task has neither the name of a bucket (`s3Bucket`) nor the ARN of one (`s3BucketArn`)")]
    BucketUnknown,
}

/// The result of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ResultCode {
    /// The object is queued.
    Succeeded,
    /// Batch Operations invokes the function again for the object.
    TemporaryFailure,
    /// A retry does not help.
    PermanentFailure,
}

/// The answer to an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    invocation_schema_version: String,
    /// For tasks without a result. There are none.
    treat_missing_keys_as: ResultCode,
    invocation_id: String,
    results: Vec<TaskResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskResult {
    task_id: String,
    result_code: ResultCode,
    result_string: String,
}

impl Batch {
    /// The invocation, if the payload is one. Events about objects have neither of these fields.
    pub(super) fn read(payload: &Value) -> Option<Self> {
        if payload.get("Records").is_some() {
            return None;
        }
        let schema_version = payload.get("invocationSchemaVersion")?.as_str()?.to_owned();
        let tasks = payload.get("tasks")?.as_array()?.iter().map(Task::read).collect();
        let invocation_id = payload["invocationId"].as_str().unwrap_or_default().to_owned();
        Some(Self { schema_version, invocation_id, tasks })
    }

    /// The answer with the result of each task, in order.
    #[must_use]
    pub fn answer(&self, results: Vec<(ResultCode, String)>) -> BatchAnswer {
        let results = self.tasks.iter().zip(results).map(|(task, (result_code, result_string))| TaskResult {
            task_id: task.id.clone(),
            result_code,
            result_string,
        });
        BatchAnswer {
            invocation_schema_version: self.schema_version.clone(),
            treat_missing_keys_as: ResultCode::TemporaryFailure,
            invocation_id: self.invocation_id.clone(),
            results: results.collect(),
        }
    }
}

impl Task {
    fn read(task: &Value) -> Self {
        Self { id: task["taskId"].as_str().unwrap_or_default().to_owned(), notice: notice(task) }
    }
}

/// The keys of a manifest are URL-encoded. Some tools write a space as `+`, others as `%20` and `+` as it stands.
fn notice(task: &Value) -> Result<Notice, TaskFault> {
    let written = task["s3Key"].as_str().filter(|key| !key.is_empty()).ok_or(TaskFault::KeyMissing)?;
    let bucket = bucket(task).ok_or(TaskFault::BucketUnknown)?;
    let with_pluses = percent_decode_str(written).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    let (key, other_keys) = keys([decode_key(written), with_pluses], written.to_owned());
    let version_id = task["s3VersionId"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
    Ok(Notice { other_keys, version_id, ..Notice::of(&bucket, &key) })
}

/// The name of the bucket: as it is in version 2.0, in an ARN in version 1.0.
fn bucket(task: &Value) -> Option<String> {
    if let Some(name) = task["s3Bucket"].as_str().filter(|name| !name.is_empty()) {
        return Some(name.to_owned());
    }
    // arn:aws:s3:::NAME, with or without region and account. An access point has a `/` in its place.
    let mut parts = task["s3BucketArn"].as_str()?.splitn(6, ':');
    let is_of_s3 = parts.next() == Some("arn") && parts.next().is_some() && parts.next() == Some("s3");
    let name = parts.nth(2)?;
    (is_of_s3 && !name.is_empty() && !name.contains(['/', ':'])).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task(task: &Value) -> Result<Notice, TaskFault> {
        let payload =
            json!({"invocationSchemaVersion": "1.0", "invocationId": "i", "job": {"id": "j"}, "tasks": [task]});
        Batch::read(&payload).unwrap().tasks.remove(0).notice
    }

    #[test]
    fn a_task_names_its_bucket_by_name_or_by_arn() {
        for (bucket, expected) in [
            (json!({"s3BucketArn": "arn:aws:s3:::inbox"}), Some("inbox")),
            (json!({"s3BucketArn": "arn:aws-cn:s3:cn-north-1:123456789012:inbox"}), Some("inbox")),
            (json!({"s3Bucket": "inbox"}), Some("inbox")),
            (json!({"s3BucketArn": "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap"}), None),
            (json!({"s3BucketArn": "arn:aws:sqs:::inbox"}), None),
            (json!({"s3BucketArn": "arn:aws:s3:::"}), None),
            (json!({"s3BucketArn": "inbox"}), None),
            (json!({"s3Bucket": "", "s3BucketArn": null}), None),
            (json!({}), None),
        ] {
            let mut payload = bucket.clone();
            payload["s3Key"] = json!("track_1.csv");
            let read = task(&payload).map(|notice| notice.bucket);
            assert_eq!(read, expected.map(str::to_owned).ok_or(TaskFault::BucketUnknown), "{bucket}");
        }
    }

    #[test]
    fn the_key_of_a_task_is_decoded_in_each_way_that_manifests_are_written() {
        for (written, expected) in [
            ("track_1.csv", Ok(&["track_1.csv"] as &[&str])),
            ("a%20b/track_1.csv", Ok(&["a b/track_1.csv", "a%20b/track_1.csv"])),
            ("a+b/track_%C3%BC.csv", Ok(&["a b/track_ü.csv", "a+b/track_ü.csv", "a+b/track_%C3%BC.csv"])),
            ("track_%E9.csv", Ok(&["track_%E9.csv"])),
            ("", Err(TaskFault::KeyMissing)),
        ] {
            let notice = task(&json!({"s3Bucket": "b", "s3Key": written}));
            let keys = notice.map(|notice| notice.spellings().map(|notice| notice.key).collect::<Vec<_>>());
            assert_eq!(keys, expected.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()), "{written}");
        }
        let versions = [json!(null), json!(""), json!("v1")]
            .map(|version| task(&json!({"s3Bucket": "b", "s3Key": "k", "s3VersionId": version})).unwrap().version_id);
        assert_eq!(versions, [None, None, Some("v1".to_owned())]);
    }
}
