//! A failed request to AWS as an event in the life of a file.

use aws::fault::{Fault, Kind};
use ingestion::trouble::{Remedy, Trouble};

/// A failed read of the source, with the words that help: S3 says the same for a missing key and a missing permission.
pub(crate) fn of_source(fault: &Fault) -> Trouble {
    match fault.kind {
        Kind::Missing | Kind::Precondition => Trouble::new(Remedy::Gone, fault.to_string()),
        Kind::Transient | Kind::Conflict => Trouble::new(Remedy::Wait, fault.to_string()),
        Kind::Denied => Trouble::new(
            Remedy::Person,
            format!(
                "{fault}: the function's role needs s3:GetObject (and s3:GetObjectVersion where the bucket keeps \
                 versions) on the object, and s3:ListBucket on the bucket to distinguish a missing key from a \
                 forbidden one"
            ),
        ),
        Kind::NoBucket => Trouble::new(Remedy::Person, format!("{fault}: no such bucket")),
        Kind::NoCredentials | Kind::Unreadable | Kind::Other => Trouble::new(Remedy::Person, fault.to_string()),
    }
}

/// A failed request to the state bucket or the queue. A document that is missing there needs a person.
pub(crate) fn of_state(fault: &Fault) -> Trouble {
    let remedy = if fault.is_transient() { Remedy::Wait } else { Remedy::Person };
    Trouble::new(remedy, fault.to_string())
}

/// The same for a checkpoint, which may be of a version that this one cannot read.
pub(crate) fn of_checkpoint(fault: &Fault) -> Trouble {
    match fault.kind {
        Kind::Unreadable => Trouble::new(Remedy::Person, format!("checkpoint {}: {}", fault.target, fault.detail)),
        _ => of_state(fault),
    }
}
