//! Where the system is, and with whose credentials it is asked.

use super::next::Next;
use super::stack::Stack;
use super::trouble;
use anyhow::Context;
use aws::clients::SdkConfig;
use aws::{Bucket, Dice, Fault};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use config::environment::bucket_fault;
use protocol::outcome::FileOutcome;
use std::path::Path;

/// How a command reaches AWS.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Way {
    /// The stack: its outputs and parameters name buckets, queues and settings
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) stack: Option<String>,
    /// The profile of the AWS configuration files; without it AWS_PROFILE, or the credentials of the environment
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) profile: Option<String>,
    /// The region; without it AWS_REGION, or the region of the profile
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) region: Option<String>,
}

/// The state bucket.
#[derive(Args, Clone, Debug)]
pub(super) struct StateArg {
    /// The state bucket; without it that of the stack
    #[arg(long, value_name = "BUCKET", value_parser = NonEmptyStringValueParser::new())]
    pub(super) state: Option<String>,
}

/// The bucket that files are uploaded to.
#[derive(Args, Clone, Debug)]
pub(super) struct InboxArg {
    /// The bucket that files are uploaded to; without it that of the stack
    #[arg(long, value_name = "BUCKET", value_parser = NonEmptyStringValueParser::new())]
    pub(super) inbox: Option<String>,
}

/// One of the mappings that read a file.
#[derive(Args, Clone, Debug)]
pub(super) struct MappingArg {
    /// Only the outcome of this mapping, if several read the file
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    mapping: Option<String>,
}

impl MappingArg {
    /// The outcomes of the mapping, or all if none is named.
    ///
    /// # Errors
    /// If the mapping has none, and others have.
    pub(super) fn of(&self, mut files: Vec<FileOutcome>) -> anyhow::Result<Vec<FileOutcome>> {
        let Some(name) = self.mapping.as_deref().filter(|_| !files.is_empty()) else { return Ok(files) };
        let names: Vec<String> = files.iter().filter_map(|file| file.mapping.clone()).collect();
        files.retain(|file| file.mapping.as_deref() == Some(name));
        anyhow::ensure!(
            !files.is_empty(),
            "--mapping {name} has no outcome of this file: {}",
            if names.is_empty() { "no mapping read it".to_owned() } else { format!("there are {}", names.join(", ")) }
        );
        Ok(files)
    }
}

/// The queue that starts the ingester.
#[derive(Args, Clone, Debug)]
pub(super) struct QueueArg {
    /// The URL of the queue that starts the ingester; without it that of the stack
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub(super) queue: Option<String>,
}

/// The system, as this person sees it.
pub(crate) struct Place {
    way: Way,
    sdk: SdkConfig,
    stack: Option<Stack>,
    dice: Dice,
}

impl Place {
    /// Finds credentials and region, and reads the stack if one is named.
    ///
    /// # Errors
    /// In a sentence that says what to do.
    pub(crate) async fn open(way: &Way) -> anyhow::Result<Place> {
        let sdk = aws::clients::config_of(way.profile.as_deref(), way.region.as_deref()).await;
        let of_profile = way.profile.as_ref().map(|name| format!(" (is there a profile {name}?)")).unwrap_or_default();
        anyhow::ensure!(
            sdk.region().is_some(),
            "there is no region{of_profile}: name it with --region, set AWS_REGION, or give your profile one with \
             `aws configure`"
        );
        let mut place = Place { way: way.clone(), sdk, stack: None, dice: Dice::system() };
        if let Some(name) = &way.stack {
            let stack = Stack::read(&place.sdk, name, &place.dice).await;
            place.stack = Some(stack.map_err(|fault| place.explained(&fault))?);
        }
        Ok(place)
    }

    pub(super) fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    pub(super) fn dice(&self) -> &Dice {
        &self.dice
    }

    pub(super) fn stack(&self) -> Option<&Stack> {
        self.stack.as_ref()
    }

    /// A bucket, as this person sees it.
    pub(super) fn bucket(&self, name: &str) -> Bucket {
        Bucket::new(aws::clients::s3(&self.sdk), name, self.dice.clone())
    }

    /// A bucket of another region.
    pub(super) fn bucket_in(&self, name: &str, region: &str) -> Bucket {
        let region = aws_sdk_s3::config::Region::new(region.to_owned());
        let client = aws_sdk_s3::Client::from_conf(aws::clients::s3_settings(&self.sdk).region(region).build());
        Bucket::new(client, name, self.dice.clone())
    }

    /// The queues.
    pub(super) fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk)
    }

    /// The state bucket.
    pub(super) fn state(&self, named: &StateArg) -> anyhow::Result<Bucket> {
        let name = self.named(named.state.as_deref(), "StateBucket", "the state bucket", "--state")?;
        fits("--state", &name)?;
        Ok(self.bucket(&name))
    }

    /// The URL of the queue.
    pub(super) fn queue(&self, named: &QueueArg) -> anyhow::Result<String> {
        self.named(named.queue.as_deref(), "IngestQueue", "the queue", "--queue")
    }

    /// What an option names, or else an output of the stack.
    pub(super) fn named(&self, given: Option<&str>, output: &str, what: &str, option: &str) -> anyhow::Result<String> {
        if let Some(name) = given {
            return Ok(name.to_owned());
        }
        let Some(stack) = &self.stack else {
            anyhow::bail!("{what} is not known: name the stack with --stack, or {what} with {option}");
        };
        let found = stack.output(output).map(str::to_owned);
        found.with_context(|| {
            format!(
                "the stack {} has no output {output}: deploy this version of it, or name {what} with {option}",
                stack.name()
            )
        })
    }

    /// The bucket that files are uploaded to.
    pub(super) fn inbox(&self, named: &InboxArg) -> anyhow::Result<String> {
        if named.inbox.is_none()
            && let Some(stack) = &self.stack
        {
            let buckets = stack.source_buckets();
            anyhow::ensure!(
                buckets.len() == 1,
                "the stack {} reads several buckets ({}): name one with --inbox",
                stack.name(),
                buckets.join(", ")
            );
            return Ok(buckets[0].to_owned());
        }
        let name = self.named(named.inbox.as_deref(), "SourceBucket", "the bucket for files", "--inbox")?;
        fits("--inbox", &name)?;
        Ok(name)
    }

    /// Bucket and key of a file: a key in the bucket for files, or `s3://BUCKET/KEY`.
    pub(super) fn object(&self, written: &str, inbox: &InboxArg) -> anyhow::Result<(String, String)> {
        anyhow::ensure!(!written.is_empty(), "the key is empty: name the key of a file, or s3://BUCKET/KEY");
        let Some(rest) = written.strip_prefix("s3://") else {
            return Ok((self.inbox(inbox)?, written.to_owned()));
        };
        let parts = rest.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
        let (bucket, key) = parts.with_context(|| format!("{written} names no object: write s3://BUCKET/KEY"))?;
        Ok((bucket.to_owned(), key.to_owned()))
    }

    /// A failed request in a sentence that says what to do.
    pub(super) fn explained(&self, fault: &Fault) -> anyhow::Error {
        anyhow::anyhow!(trouble::in_words(fault, &self.way))
    }

    /// The same for an error that may be a failed request.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast_ref::<Fault>() {
            Some(fault) => self.explained(fault),
            None => error,
        }
    }

    /// What further commands need to get here again. `state` is left out by a command without that option.
    pub(super) fn next(&self, inbox: &InboxArg, state: Option<&StateArg>) -> Next {
        let state_option = state.and_then(|state| state.state.clone());
        let has = |output: &str| self.stack.as_ref().is_some_and(|stack| stack.output(output).is_some());
        Next {
            way: self.way.clone(),
            inbox: self.inbox(inbox).ok(),
            inbox_option: inbox.inbox.clone(),
            has_state: state_option.is_some() || has("StateBucket"),
            has_queues: has("IngestQueue") && has("IngestDeadLetters"),
            state_option,
        }
    }
}

/// The key that a file gets in the bucket: its name behind a prefix.
///
/// # Errors
/// If the name is no text.
pub(crate) fn key_of(prefix: &str, path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).context("its name is not UTF-8 text")?;
    Ok(format!("{prefix}{name}"))
}

/// Refuses what is no name of a bucket.
pub(super) fn fits(option: &str, name: &str) -> anyhow::Result<()> {
    bucket_fault(name).map_or(Ok(()), |fault| anyhow::bail!("{option} {name} {fault}"))
}
