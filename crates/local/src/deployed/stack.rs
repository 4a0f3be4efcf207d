//! What CloudFormation knows of a stack: its outputs and its parameters.
//!
//! One request of the Query API, signed here. `aws-sdk-cloudformation` would take as long to compile as the rest of the
//! command line, for this one question.

use aws::bucket::retried;
use aws::clients::SdkConfig;
use aws::fault::{Fault, Kind, Operation, chain};
use aws::{Clock, Dice};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// The version of the API (CloudFormation API reference, "Common parameters").
const API_VERSION: &str = "2010-05-15";
const SERVICE: &str = "cloudformation";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";
/// Time for the whole request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stack.
#[derive(Debug, Default)]
pub(super) struct Stack {
    name: String,
    outputs: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
}

impl Stack {
    /// Asks CloudFormation.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub(super) async fn read(sdk: &SdkConfig, name: &str, dice: &Dice) -> Result<Stack, Fault> {
        let xml = retried(dice, || ask(sdk, name)).await?;
        parse(name, &xml).map_err(|error| Fault::unreadable(target(name), error))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// An output, if the stack has it.
    pub(super) fn output(&self, key: &str) -> Option<&str> {
        self.outputs.get(key).map(String::as_str)
    }

    /// A parameter, unless it is empty. CloudFormation shows secret ones as asterisks.
    pub(super) fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The buckets that it reads: its own, or those that it was given.
    pub(super) fn source_buckets(&self) -> Vec<&str> {
        let given = ["ExistingSourceBuckets", "ForwardedSourceBuckets"].into_iter();
        let given = given.filter_map(|key| self.parameter(key)).flat_map(|list| list.split(','));
        self.output("SourceBucket").into_iter().chain(given.map(str::trim)).filter(|name| !name.is_empty()).collect()
    }
}

fn target(name: &str) -> String {
    format!("the stack {name}")
}

/// The answer to `DescribeStacks`.
async fn ask(sdk: &SdkConfig, name: &str) -> Result<Vec<u8>, Fault> {
    let broken =
        |error: &(dyn std::error::Error + 'static)| Fault::foreign(Operation::Describe, target(name), chain(error));
    let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let form = format!("Action=DescribeStacks&Version={API_VERSION}&StackName={encoded}");
    let url = endpoint(sdk);
    let headers = signed(sdk, name, &url, &form).await?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|error| broken(&error))?;
    let request = headers.iter().fold(client.post(&url), |request, (name, value)| request.header(name, value));
    let answer =
        request.header("content-type", CONTENT_TYPE).body(form).send().await.map_err(|error| broken(&error))?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.map_err(|error| broken(&error))?;
    if status == 200 {
        return Ok(body.to_vec());
    }
    let (code, message) = refusal(&body).unwrap_or_default();
    Err(Fault::refused(Operation::Describe, target(name), status, &code, &message))
}

/// CloudFormation's address: that of the environment or the profile, or the region's.
fn endpoint(sdk: &SdkConfig) -> String {
    let own = config::environment::variable("AWS_ENDPOINT_URL_CLOUDFORMATION");
    let region = sdk.region().map(AsRef::as_ref).unwrap_or_default();
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    own.or_else(|| sdk.endpoint_url().map(str::to_owned))
        .unwrap_or_else(|| format!("https://{SERVICE}.{region}.amazonaws.com{suffix}/"))
}

/// The headers that sign the form.
async fn signed(sdk: &SdkConfig, name: &str, url: &str, form: &str) -> Result<Vec<(String, String)>, Fault> {
    let without = |error: &(dyn std::error::Error + 'static)| {
        let mut fault = Fault::without_credentials(Operation::Describe, target(name));
        fault.detail = chain(error);
        fault
    };
    let provider = sdk.credentials_provider();
    let provider = provider.ok_or_else(|| Fault::without_credentials(Operation::Describe, target(name)))?;
    let identity = provider.provide_credentials().await.map_err(|error| without(&error))?.into();
    let now_ms = u64::try_from(Clock::system().now_ms()).unwrap_or_default();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(sdk.region().map(AsRef::as_ref).unwrap_or_default())
        .name(SERVICE)
        .time(UNIX_EPOCH + Duration::from_millis(now_ms))
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| without(&error))?;
    let headers = [("content-type", CONTENT_TYPE)].into_iter();
    let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(form.as_bytes()));
    let signed = request.and_then(|request| sign(request, &params.into())).map_err(|error| without(&error))?;
    let (instructions, _) = signed.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn parse(name: &str, xml: &[u8]) -> Result<Stack, XmlDecodeError> {
    let mut document = Document::try_from(xml)?;
    let mut root = document.root_element()?;
    let mut stack = Stack { name: name.to_owned(), ..Stack::default() };
    // Without a name CloudFormation describes every stack.
    let mut is_found = false;
    while let Some(mut result) = root.next_tag().filter(|tag| tag.start_el().local() == "DescribeStacksResult") {
        let Some(mut stacks) = result.next_tag() else { break };
        let Some(mut member) = stacks.next_tag() else { break };
        while let Some(mut field) = member.next_tag() {
            match field.start_el().local() {
                "StackName" | "StackId" => is_found |= try_data(&mut field)? == name,
                "Outputs" => stack.outputs = pairs(&mut field, "OutputKey", "OutputValue")?,
                "Parameters" => stack.parameters = pairs(&mut field, "ParameterKey", "ParameterValue")?,
                _ => {}
            }
        }
    }
    if is_found { Ok(stack) } else { Err(XmlDecodeError::custom("the answer does not describe this stack")) }
}

/// A list of names and values.
fn pairs(list: &mut ScopedDecoder<'_, '_>, key: &str, value: &str) -> Result<BTreeMap<String, String>, XmlDecodeError> {
    let mut all = BTreeMap::new();
    while let Some(mut member) = list.next_tag() {
        let (mut name, mut text) = (String::new(), String::new());
        while let Some(mut field) = member.next_tag() {
            match field.start_el().local().to_owned() {
                local if local == key => name = try_data(&mut field)?.into_owned(),
                local if local == value => text = try_data(&mut field)?.into_owned(),
                _ => {}
            }
        }
        all.insert(name, text);
    }
    Ok(all)
}

/// Code and message of a refusal.
fn refusal(xml: &[u8]) -> Option<(String, String)> {
    let mut document = Document::try_from(xml).ok()?;
    let mut root = document.root_element().ok()?;
    let mut error = root.next_tag().filter(|tag| tag.start_el().local() == "Error")?;
    let (mut code, mut message) = (String::new(), String::new());
    while let Some(mut field) = error.next_tag() {
        match field.start_el().local() {
            "Code" => code = try_data(&mut field).ok()?.into_owned(),
            "Message" => message = try_data(&mut field).ok()?.into_owned(),
            _ => {}
        }
    }
    Some((code, message))
}

/// True if CloudFormation does not know the stack (CloudFormation API reference, `DescribeStacks`).
pub(super) fn is_unknown(fault: &Fault) -> bool {
    fault.operation == Operation::Describe && fault.kind == Kind::Other && fault.detail.contains("does not exist")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_parameters_are_read_whatever_stands_between_them() {
        let xml = "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
            <Stacks><member><StackName>s</StackName><Tags><member><Key>k</Key><Value>v</Value></member></Tags><Outputs><member>\
            <Description>d</Description><OutputKey>StateBucket</OutputKey><OutputValue>state</OutputValue></member></Outputs>\
            <Parameters><member><ParameterKey>Config</ParameterKey><ParameterValue>a = &quot;&lt;b&gt;&quot;\n</ParameterValue>\
            </member><member><ParameterKey>SourceId</ParameterKey><ParameterValue/></member></Parameters></member></Stacks>\
            </DescribeStacksResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></DescribeStacksResponse>";
        let stack = parse("s", xml.as_bytes()).unwrap();
        assert_eq!(stack.output("StateBucket"), Some("state"));
        assert_eq!((stack.parameter("Config"), stack.parameter("SourceId")), (Some("a = \"<b>\"\n"), None));
        assert!(parse("other", xml.as_bytes()).is_err(), "it is the answer about another stack");
        for other in ["<html></html>", "", "{}", "<DescribeStacksResponse/>"] {
            assert!(parse("s", other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn the_buckets_of_a_stack_are_its_own_or_those_it_was_given() {
        let stack = |outputs: &[(&str, &str)], parameters: &[(&str, &str)]| {
            let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Stack { name: "s".to_owned(), outputs: map(outputs), parameters: map(parameters) }
        };
        let own = stack(&[("SourceBucket", "own")], &[("ExistingSourceBuckets", "")]);
        assert_eq!(own.source_buckets(), ["own"]);
        let given = stack(&[], &[("ExistingSourceBuckets", "a, b"), ("ForwardedSourceBuckets", "c")]);
        assert_eq!(given.source_buckets(), ["a", "b", "c"]);
    }

    #[test]
    fn the_words_of_a_refusal_are_read() {
        let xml = "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>ValidationError</Code>\
            <Message>Stack with id s does not exist</Message></Error><RequestId>1</RequestId></ErrorResponse>";
        let words = ("ValidationError".to_owned(), "Stack with id s does not exist".to_owned());
        assert_eq!(refusal(xml.as_bytes()), Some(words));
        assert_eq!(refusal(b"<html><body/></html>"), None);
    }
}
