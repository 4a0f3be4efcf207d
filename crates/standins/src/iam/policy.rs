//! Policy documents: parsed from the JSON that AWS's documentation shows, evaluated per request.

use std::collections::BTreeMap;

use serde_json::Value;

use super::wildcard;

/// A policy document.
///
/// It supports `Effect`, `Action`/`NotAction`, `Resource`/`NotResource`, `Principal` (AWS), and conditions on strings,
/// ARNs, booleans and absence. The parser refuses everything else, so that no story depends on an ignored clause.
#[derive(Clone, Debug)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// A document that cannot be used, and why.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("policy document: {0}")]
pub struct PolicyError(String);

/// The decision of a set of policies on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and no statement denies it.
    Allow,
    /// No statement speaks of it.
    ImplicitDeny,
    /// A statement denies it; nothing else counts.
    ExplicitDeny,
}

/// A request to a policy.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// `s3:PutObject`
    pub action: &'a str,
    /// `arn:aws:s3:::bucket/key`
    pub resource: &'a str,
    /// ARNs that the caller answers to (the session, its role, its account); trust policies only.
    pub principals: &'a [String],
    /// `s3:prefix` → `in/`, by lower-case key.
    pub context: &'a BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Statement {
    allow: bool,
    principals: Option<Vec<String>>,
    actions: Patterns,
    resources: Option<Patterns>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Patterns {
    not: bool,
    any_of: Vec<String>,
}

#[derive(Clone, Debug)]
struct Condition {
    test: Test,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Test {
    Equals,
    NotEquals,
    EqualsIgnoreCase,
    Like,
    NotLike,
    Null,
}

impl Policy {
    /// Reads a document.
    pub fn parse(json: &str) -> Result<Policy, PolicyError> {
        let document: Value = serde_json::from_str(json).map_err(|error| PolicyError(error.to_string()))?;
        let statements = match document.get("Statement") {
            Some(Value::Array(all)) => all.iter().map(statement).collect::<Result<_, _>>()?,
            Some(one @ Value::Object(_)) => vec![statement(one)?],
            _ => return Err(PolicyError(String::from("no Statement"))),
        };
        Ok(Policy { statements })
    }

    /// Allows everything: an administrator's.
    pub fn allow_all() -> Policy {
        let everything = Patterns { not: false, any_of: vec![String::from("*")] };
        Policy {
            statements: vec![Statement {
                allow: true,
                principals: None,
                actions: everything.clone(),
                resources: Some(everything),
                conditions: Vec::new(),
            }],
        }
    }
}

/// Evaluates all `policies` together, as IAM does: an explicit deny wins, then an allow.
pub fn evaluate<'a>(policies: impl IntoIterator<Item = &'a Policy>, question: &Question<'_>) -> Decision {
    let mut decision = Decision::ImplicitDeny;
    let statements = policies.into_iter().flat_map(|policy| &policy.statements);
    for statement in statements.filter(|statement| statement.speaks_of(question)) {
        if !statement.allow {
            return Decision::ExplicitDeny;
        }
        decision = Decision::Allow;
    }
    decision
}

impl Statement {
    fn speaks_of(&self, question: &Question<'_>) -> bool {
        let principal = self
            .principals
            .as_ref()
            .is_none_or(|named| named.iter().any(|name| name == "*" || question.principals.contains(name)));
        principal
            && self.actions.cover(|pattern| wildcard::matches_ignoring_case(pattern, question.action))
            && self
                .resources
                .as_ref()
                .is_none_or(|resources| resources.cover(|pattern| wildcard::matches(pattern, question.resource)))
            && self.conditions.iter().all(|condition| condition.holds(question.context))
    }
}

impl Patterns {
    fn cover(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.any_of.iter().any(|pattern| matches(pattern)) != self.not
    }
}

impl Condition {
    fn holds(&self, context: &BTreeMap<String, String>) -> bool {
        let actual = context.get(&self.key);
        if let Test::Null = self.test {
            return self.values.iter().any(|value| (value == "true") == actual.is_none());
        }
        let Some(actual) = actual else {
            // A negated test holds for an absent key. The others do not.
            return self.if_exists || matches!(self.test, Test::NotEquals | Test::NotLike);
        };
        let any = |test: fn(&str, &str) -> bool| self.values.iter().any(|value| test(value, actual));
        match self.test {
            Test::Equals => any(|value, actual| value == actual),
            Test::NotEquals => !any(|value, actual| value == actual),
            Test::EqualsIgnoreCase => any(str::eq_ignore_ascii_case),
            Test::Like => any(wildcard::matches),
            Test::NotLike => !any(wildcard::matches),
            Test::Null => false,
        }
    }
}

fn statement(json: &Value) -> Result<Statement, PolicyError> {
    const KNOWN: [&str; 8] =
        ["Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
    let fields = json.as_object().ok_or_else(|| PolicyError(String::from("a statement is not an object")))?;
    if let Some(unknown) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(PolicyError(format!("`{unknown}` in a statement is not understood")));
    }
    let allow = match json.get("Effect").and_then(Value::as_str) {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => return Err(PolicyError(String::from("Effect is neither Allow nor Deny"))),
    };
    Ok(Statement {
        allow,
        principals: json.get("Principal").map(principals).transpose()?,
        actions: patterns(json, "Action", "NotAction")?
            .ok_or_else(|| PolicyError(String::from("a statement without Action")))?,
        resources: patterns(json, "Resource", "NotResource")?,
        conditions: conditions(json.get("Condition"))?,
    })
}

fn principals(json: &Value) -> Result<Vec<String>, PolicyError> {
    if json.as_str() == Some("*") {
        return Ok(vec![String::from("*")]);
    }
    let by_kind =
        json.as_object().ok_or_else(|| PolicyError(String::from("Principal is neither \"*\" nor an object")))?;
    let mut named = Vec::new();
    for (kind, names) in by_kind {
        for name in strings(names)? {
            // `"AWS": "123456789012"` means the account's root, and that everyone in it.
            let account = name.len() == 12 && name.bytes().all(|b| b.is_ascii_digit());
            match kind.as_str() {
                "AWS" if account => named.push(format!("arn:aws:iam::{name}:root")),
                _ => named.push(name),
            }
        }
    }
    Ok(named)
}

fn patterns(json: &Value, yes: &str, no: &str) -> Result<Option<Patterns>, PolicyError> {
    let (not, value) = match (json.get(yes), json.get(no)) {
        (Some(value), None) => (false, value),
        (None, Some(value)) => (true, value),
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(PolicyError(format!("both {yes} and {no}"))),
    };
    Ok(Some(Patterns { not, any_of: strings(value)? }))
}

fn conditions(json: Option<&Value>) -> Result<Vec<Condition>, PolicyError> {
    let Some(json) = json else { return Ok(Vec::new()) };
    let by_operator = json.as_object().ok_or_else(|| PolicyError(String::from("Condition is not an object")))?;
    let mut all = Vec::new();
    for (operator, by_key) in by_operator {
        let (name, if_exists) = match operator.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (operator.as_str(), false),
        };
        let test = match name {
            "StringEquals" | "Bool" => Test::Equals,
            "StringNotEquals" => Test::NotEquals,
            "StringEqualsIgnoreCase" => Test::EqualsIgnoreCase,
            "StringLike" | "ArnLike" | "ArnEquals" => Test::Like,
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => Test::NotLike,
            "Null" => Test::Null,
            _ => {
                return Err(PolicyError(format!("condition operator `{operator}` is not understood")));
            }
        };
        let by_key = by_key.as_object().ok_or_else(|| PolicyError(format!("{operator} is not an object")))?;
        for (key, values) in by_key {
            all.push(Condition { test, if_exists, key: key.to_lowercase(), values: strings(values)? });
        }
    }
    Ok(all)
}

fn strings(json: &Value) -> Result<Vec<String>, PolicyError> {
    match json {
        Value::String(one) => Ok(vec![one.clone()]),
        Value::Bool(one) => Ok(vec![one.to_string()]),
        Value::Array(many) => many.iter().map(strings).collect::<Result<Vec<_>, _>>().map(|all| all.concat()),
        other => Err(PolicyError(format!("{other} where text was expected"))),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn check(policies: &[&str], action: &str, resource: &str, context: &[(&str, &str)]) -> Decision {
        let policies: Vec<Policy> = policies.iter().map(|p| Policy::parse(p).unwrap()).collect();
        let context = context.iter().map(|(key, value)| (key.to_lowercase(), (*value).to_owned())).collect();
        evaluate(
            &policies,
            &Question {
                action,
                resource,
                principals: &[String::from("arn:aws:iam::123456789012:role/Exporter")],
                context: &context,
            },
        )
    }

    // The statement that Segment's documentation gives for its own exporter.
    const DOCUMENTED: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"PutObjectsInBucket","Effect":"Allow",
        "Action":["s3:PutObject","s3:PutObjectAcl"],"Resource":"arn:aws:s3:::logs/segment-logs/*"}]}"#;

    #[test]
    fn the_documented_statement_covers_only_puts_under_its_prefix() {
        for (action, resource, expected) in [
            ("s3:PutObject", "arn:aws:s3:::logs/segment-logs/a/1/x.gz", Decision::Allow),
            ("s3:putobject", "arn:aws:s3:::logs/segment-logs/x", Decision::Allow),
            ("s3:PutObject", "arn:aws:s3:::logs/other/x", Decision::ImplicitDeny),
            ("s3:PutObject", "arn:aws:s3:::logs/p/segment-logs/x", Decision::ImplicitDeny),
            ("s3:GetObject", "arn:aws:s3:::logs/segment-logs/x", Decision::ImplicitDeny),
            ("s3:ListBucket", "arn:aws:s3:::logs", Decision::ImplicitDeny),
        ] {
            assert_eq!(check(&[DOCUMENTED], action, resource, &[]), expected, "{action} {resource}");
        }
    }

    #[test]
    fn an_explicit_deny_wins_wherever_it_stands() {
        let deny = r#"{"Statement":{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}}}"#;
        let put = ("s3:PutObject", "arn:aws:s3:::logs/segment-logs/x");
        assert_eq!(check(&[DOCUMENTED, deny], put.0, put.1, &[]), Decision::ExplicitDeny);
        assert_eq!(check(&[deny, DOCUMENTED], put.0, put.1, &[]), Decision::ExplicitDeny);
        let kms = [("s3:x-amz-server-side-encryption", "aws:kms")];
        assert_eq!(check(&[deny, DOCUMENTED], put.0, put.1, &kms), Decision::Allow);
    }

    #[test]
    fn conditions_hold_as_iam_says() {
        for (condition, context, holds) in [
            (r#"{"StringEquals":{"s3:prefix":"in/"}}"#, &[("s3:prefix", "in/")][..], true),
            (r#"{"StringEquals":{"s3:prefix":["a","in/"]}}"#, &[("s3:prefix", "in/")], true),
            (r#"{"StringEquals":{"s3:prefix":"in/"}}"#, &[], false),
            (r#"{"StringEqualsIfExists":{"s3:prefix":"in/"}}"#, &[], true),
            (r#"{"StringLike":{"s3:prefix":"in/*"}}"#, &[("s3:prefix", "in/x")], true),
            (r#"{"StringNotLike":{"s3:prefix":"in/*"}}"#, &[("s3:prefix", "in/x")], false),
            (r#"{"StringNotLike":{"s3:prefix":"in/*"}}"#, &[], true),
            (r#"{"Null":{"s3:prefix":"true"}}"#, &[], true),
            (r#"{"Null":{"s3:prefix":"false"}}"#, &[], false),
            (
                r#"{"StringEquals":{"sts:ExternalId":"W"},"StringLike":{"s3:prefix":"*"}}"#,
                &[("sts:ExternalId", "W")],
                false,
            ),
        ] {
            let policy = format!(
                r#"{{"Statement":[{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}]}}"#
            );
            let decision = check(&[&policy], "s3:ListBucket", "arn:aws:s3:::b", context);
            assert_eq!(decision == Decision::Allow, holds, "{condition} on {context:?}");
        }
    }

    #[test]
    fn a_principal_must_be_named() {
        let trust = |principal: &str| {
            format!(r#"{{"Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}]}}"#)
        };
        for (principal, named) in [
            (r#""*""#, true),
            (r#"{"AWS":"arn:aws:iam::123456789012:role/Exporter"}"#, true),
            (r#"{"AWS":["x","arn:aws:iam::123456789012:role/Exporter"]}"#, true),
            (r#"{"AWS":"arn:aws:iam::595280932656:role/other"}"#, false),
            (r#"{"Service":"lambda.amazonaws.com"}"#, false),
        ] {
            let decision = check(&[&trust(principal)], "sts:AssumeRole", "arn:aws:iam::1:role/x", &[]);
            assert_eq!(decision == Decision::Allow, named, "{principal}");
        }
    }

    #[test]
    fn an_unknown_element_of_a_policy_is_refused() {
        for (document, complaint) in [
            ("{", "EOF"),
            ("{}", "no Statement"),
            (r#"{"Statement":{"Effect":"allow","Action":"*"}}"#, "neither Allow nor Deny"),
            (r#"{"Statement":{"Effect":"Allow","NotPrincipal":"*","Action":"*"}}"#, "`NotPrincipal`"),
            (
                r#"{"Statement":{"Effect":"Allow","Action":"*","Condition":{"IpAddress":{"aws:SourceIp":"1.2.3.4"}}}}"#,
                "`IpAddress`",
            ),
            (r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#, "without Action"),
        ] {
            let error = Policy::parse(document).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
