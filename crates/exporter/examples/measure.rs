//! Measures the cost of a tick, over the S3 protocol and with the real [`exporter::App`].
//!
//! ```text
//! measure serve DIR     S3 and STS on loopback with the fragments that `stitch make DIR …` made; prints the environment
//! measure export        one tick, in that environment; `/usr/bin/time -v` tells what it takes
//! ```
#![expect(clippy::print_stdout, reason = "it is a command line")]

use std::path::Path;

use anyhow::Context;
use exporter::App;
use serde_json::json;
use standins::iam::Role;
use standins::s3::Server;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", dir] => serve(Path::new(dir)).await,
        ["export"] => {
            let answer = App::from_environment().await?.handle(json!({}), i64::MAX / 2).await?;
            println!("{}", serde_json::to_string(&answer)?);
            Ok(())
        }
        _ => {
            println!("measure serve DIR | export");
            Ok(())
        }
    }
}

async fn serve(dir: &Path) -> anyhow::Result<()> {
    let role = Role::new("arn:aws:iam::210987654321:role/logs")
        .trusting("123456789012")
        .external_id("measure")
        .policy(r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}"#);
    let s3 = Server::memory().with_bucket("our-state").with_foreign_bucket("their-logs", "210987654321", "us-east-1");
    let s3 = s3.with_role(role).start().await?;
    for (number, name) in std::fs::read_to_string(dir.join("names"))?.lines().enumerate() {
        let bytes = std::fs::read(dir.join(format!("fragment-{number}.gz"))).context("no such fragment")?;
        s3.put("our-state", name, bytes)?;
    }
    for (name, value) in s3.env() {
        println!("export {name}={value}");
    }
    println!("export STATE_BUCKET=our-state DESTINATION_BUCKET=their-logs DESTINATION_REGION=us-east-1");
    println!("export DESTINATION_ROLE_ARN=arn:aws:iam::210987654321:role/logs DESTINATION_EXTERNAL_ID=measure");
    std::future::pending::<()>().await;
    Ok(())
}
