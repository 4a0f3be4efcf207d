//! Every metric, declared once: its name, its unit, what it is counted for, and its meaning. The table of the
//! documentation is made of these declarations.

use super::Per;

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// The unit, as CloudWatch names it.
    pub unit: &'static str,
    /// What it is counted for.
    pub per: Per,
    /// The meaning in a sentence, as Markdown.
    pub meaning: &'static str,
}

/// Declares a group of metrics: a constant for each, and the list of all of them.
macro_rules! metrics {
    ($(#[doc = $doc:literal])+ $group:ident {
        $($constant:ident $name:literal $unit:ident $per:ident, $meaning:literal;)*
    }) => {
        $(
            #[doc = $meaning]
            pub const $constant: Metric =
                Metric { name: $name, unit: stringify!($unit), per: Per::$per, meaning: $meaning };
        )*
        $(#[doc = $doc])+
        pub static $group: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    /// Of every function.
    ALL {
        ALARMS "Alarms" Count Function, "problems that a person should check. The log has a line of level `ERROR` for each.";
    }
}

metrics! {
    /// Of the ingester.
    INGESTER {
        FILES_FINISHED "FilesFinished" Count Function, "files whose rows are all settled";
        FILES_STOPPED "FilesStopped" Count Function, "files that ended early, because too many rows are refused or the file cannot be read";
        FILES_FAILED "FilesFailed" Count Function, "tries that failed. The message comes again, and becomes a dead letter after the last try.";
        FILES_MISSING "FilesMissing" Count Function, "S3 events whose object does not exist";
        UNKNOWN_WRITE_KEY "UnknownWriteKey" Count Source, "files that were not sent, because Segment does not know the write key of their source";
        SECONDS_TO_DONE "SecondsToDone" Seconds Function, "from the S3 event of a file to the end of the file. Only for S3 events that have a time.";
        ROWS "Rows" Count Source, "rows that were settled";
        ACKNOWLEDGED "Acknowledged" Count Source, "rows that Segment accepted";
        REJECTED "Rejected" Count Source, "rows that the ingester or Segment refused. They are in the rejects file.";
        REJECTED_SHARE "RejectedShare" Percent Source, "the refused share of the rows of a file that has ended";
        BATCHES "Batches" Count Source, "requests that Segment accepted";
        BYTES "BytesSent" Bytes Source, "bytes of request bodies, as sent";
        RETRIES "Retries" Count Source, "requests that were sent again";
        THROTTLES "Throttles" Count Source, "answers of Segment that asked to slow down";
        DELIVERY_LATENCY "DeliveryLatency" Milliseconds Source, "from the start of a request to its answer";
    }
}

metrics! {
    /// Of the receiver.
    RECEIVER {
        RECEIVED "Received" Count Source, "calls that are kept for the exporter";
        REFUSED_CALLS "RefusedCalls" Count Source, "calls that are refused alone. They are under `rejects/received/`, each with its reason.";
        RATE_LIMITED "RateLimited" Count Source, "requests that were answered 429";
        UNKNOWN_KEYS "UnknownKeys" Count Function, "requests with a write key that the receiver does not know";
        UNKEPT "Unkept" Count Function, "requests that were answered 503, because S3 did not take their calls in time";
    }
}

metrics! {
    /// Of the exporter.
    EXPORTER {
        OPEN_PLANS "OpenPlans" Count Function, "export plans that are not settled yet";
        UNROUTED "Unrouted" Count Function, "events that wait for a destination that takes their source";
        EXPIRED "Expired" Count Function, "events that expired, because no destination accepted them for too long";
        UNACCOUNTED "Unaccounted" Count Function, "events that were discarded, because checkpoint and ledger of their file are gone";
        OLDEST_UNEXPORTED "OldestUnexportedEvent" Seconds Function, "the age of the oldest event that was not exported when a tick began";
        QUARANTINED "Quarantined" Count Function, "fragments that are damaged or gone";
        EXPORTED "Exported" Count Destination, "events in log objects that were put";
        LOG_OBJECTS "LogObjects" Count Destination, "log objects that were put";
        LOG_BYTES "LogBytes" Bytes Destination, "their compressed bytes";
        FAILING "Failing" Count Destination, "1 while a destination does not take its objects, else 0";
    }
}
