//! A failed request to AWS as an event in the life of a file.

use crate::causes;
use aws::causes::in_words;
use aws::fault::{Fault, Kind};
use ingestion::trouble::{Remedy, Trouble};

/// A failed read of the source.
pub(crate) fn of_source(fault: &Fault) -> Trouble {
    match fault.kind {
        Kind::Missing | Kind::Precondition => Trouble::new(Remedy::Gone, fault.to_string()),
        Kind::Transient | Kind::Conflict => Trouble::new(Remedy::Wait, fault.to_string()),
        _ => Trouble::new(Remedy::Person, in_words(fault, &causes::of_source(fault, fault.bucket()))),
    }
}

/// A failed request to the state bucket. A document that is missing there needs a person.
pub(crate) fn of_state(fault: &Fault) -> Trouble {
    if fault.is_transient() {
        return Trouble::new(Remedy::Wait, fault.to_string());
    }
    Trouble::new(Remedy::Person, in_words(fault, &causes::of_state(fault, fault.bucket())))
}

/// A failed request to the queue.
pub(crate) fn of_queue(fault: &Fault) -> Trouble {
    let remedy = if fault.is_transient() { Remedy::Wait } else { Remedy::Person };
    Trouble::new(remedy, in_words(fault, &causes::of_queue(fault)))
}

/// The same for a checkpoint, which may be of a version that this one cannot read.
pub(crate) fn of_checkpoint(fault: &Fault) -> Trouble {
    match fault.kind {
        Kind::Unreadable => Trouble::new(Remedy::Person, format!("checkpoint {}: {}", fault.target, fault.detail)),
        _ => of_state(fault),
    }
}
