//! A gateway that answers requests of exporters in the place of S3 and STS, in process: it is fast enough for a thousand
//! seeds.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use standins::explorer::{Gateway, Stage, Strikes, strike_each_request, strike_many_requests};

use super::scenes::behind_a_gateway;

/// Exporters behind the gateway. Another one follows, which has no gateway.
const EXPORTERS: u64 = 3;

/// The exporters in sequence. In the end each event is exported once.
fn stage(strikes: Strikes, struck: &Arc<AtomicUsize>) -> Stage {
    let gateway = Gateway::new(strikes, usize::try_from(EXPORTERS).unwrap(), struck);
    behind_a_gateway(EXPORTERS).stage(|_| Some(Box::new(gateway)))
}

#[test]
fn a_gateway_that_answers_any_one_request_with_any_page_loses_no_event() {
    strike_each_request(&stage, &(20..=199));
}

#[test]
fn a_gateway_that_answers_many_requests_of_all_exporters_loses_no_event() {
    strike_many_requests(&stage);
}
