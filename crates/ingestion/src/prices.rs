//! AWS's list prices in US East (N. Virginia), in dollars, without free tiers and discounts.
//!
//! Compared in November 2026 with AWS's whitepaper "How AWS Pricing Works" (Lambda) and with public summaries of its pricing
//! pages: cloudchipr.com, "AWS Lambda Pricing" (2025); c3x.dev, "S3 request fees explained"; cloudburn.io, "Amazon SQS
//! Pricing" (March 2026); wring.co, "AWS data transfer pricing guide" (2026). All agree.

/// When they were compared.
pub const AS_OF: &str = "November 2026";

/// Lambda on x86: memory in GB times seconds.
pub const LAMBDA_GB_SECOND: f64 = 0.000_016_666_7;

/// Lambda on arm64.
pub const LAMBDA_GB_SECOND_ARM: f64 = 0.000_013_333_4;

/// An invocation of a function.
pub const LAMBDA_INVOCATION: f64 = 0.20 / 1e6;

/// A PUT, COPY, POST or LIST to S3 Standard.
pub const S3_PUT: f64 = 0.005 / 1e3;

/// A GET, HEAD and any other request to S3 Standard. A DELETE costs nothing.
pub const S3_GET: f64 = 0.000_4 / 1e3;

/// A request to a standard queue: to send, receive or delete up to 64 KB.
pub const SQS_REQUEST: f64 = 0.40 / 1e6;

/// A GB out to the internet, of the first 10 TB of a month.
pub const GB_OUT: f64 = 0.09;

/// A GB to another region of AWS.
pub const GB_TO_REGION: f64 = 0.02;

/// A GB of log lines that CloudWatch takes.
pub const LOGS_GB: f64 = 0.50;
