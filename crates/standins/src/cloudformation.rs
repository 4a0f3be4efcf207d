//! CloudFormation's `DescribeStacks`: outputs and parameters of stacks, as a person reads them.
//!
//! Signatures are not verified.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use crate::serve::{self, Listening, Reply, answer};

/// The version of the Query API (CloudFormation API reference, "Common parameters").
const API_VERSION: &str = "2010-05-15";

/// A stack: what its template made, and what it was given.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Stack {
    outputs: Vec<(String, String)>,
    parameters: Vec<(String, String)>,
}

impl Stack {
    /// Adds an output.
    pub fn output(mut self, key: &str, value: &str) -> Stack {
        self.outputs.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a parameter.
    pub fn parameter(mut self, key: &str, value: &str) -> Stack {
        self.parameters.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// A running CloudFormation. Dropped, it stops.
#[derive(Debug)]
pub struct Server(Listening);

impl Server {
    /// Starts a server that knows these stacks.
    pub async fn start(stacks: impl IntoIterator<Item = (&str, Stack)>) -> io::Result<Server> {
        let stacks = stacks.into_iter().map(|(name, stack)| (name.to_owned(), stack));
        let stacks: Arc<BTreeMap<String, Stack>> = Arc::new(stacks.collect());
        Ok(Server(serve::listen(serve::any_port(), move |request| handle(Arc::clone(&stacks), request)).await?))
    }

    /// The endpoint.
    pub fn url(&self) -> String {
        self.0.url()
    }
}

async fn handle(stacks: Arc<BTreeMap<String, Stack>>, request: Request<Incoming>) -> Reply {
    let Ok(body) = request.into_body().collect().await else { return Reply::Drop };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let fields: BTreeMap<String, String> = body
        .split('&')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let (status, xml) = match (field("Action"), field("Version"), field("StackName")) {
        ("DescribeStacks", API_VERSION, name) => match stacks.get(name) {
            Some(stack) => (200, described(name, stack)),
            None => (400, refused("ValidationError", &format!("Stack with id {name} does not exist"))),
        },
        (action, version, _) => {
            let words = format!("Could not find operation {action} for version {version}");
            (400, refused("InvalidAction", &words))
        }
    };
    Reply::Answer(answer(status, "text/xml", xml))
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn described(name: &str, stack: &Stack) -> String {
    let mut xml = format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/{API_VERSION}/\"><DescribeStacksResult>\
         <Stacks><member><StackName>{}</StackName>",
        escaped(name)
    );
    for (list, of, pairs) in [("Parameters", "Parameter", &stack.parameters), ("Outputs", "Output", &stack.outputs)] {
        let _ = write!(xml, "<{list}>");
        for (key, value) in pairs {
            let (key, value) = (escaped(key), escaped(value));
            let _ = write!(xml, "<member><{of}Key>{key}</{of}Key><{of}Value>{value}</{of}Value></member>");
        }
        let _ = write!(xml, "</{list}>");
    }
    xml + "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
}

fn refused(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error></ErrorResponse>",
        escaped(message)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
