//! The memory of a function.

/// In MB, as Lambda says (Lambda developer guide, "Defined runtime environment variables"); elsewhere the template's
/// default.
#[must_use]
pub fn memory_mb() -> u32 {
    let set = config::environment::variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
    set.and_then(|memory| memory.parse().ok()).unwrap_or(512)
}
