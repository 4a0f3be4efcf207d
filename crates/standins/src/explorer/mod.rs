//! Real clients and real driver code, one request at a time: every order in which two runs may meet.
//!
//! The clients of each run have a connector that hands their requests to the explorer. It lets all runs continue until
//! each waits for a request. Then it chooses one request and its [`Fate`], and the server handles it in process. Time
//! stands still, and moves only where a run waits for it. So a [`Schedule`], the list of choices, says all that
//! happens: the same schedule gives the same requests and answers.
//!
//! [`search`] plays every schedule within [`Bounds`], and prunes those that differ from another only in the order of
//! requests that do not conflict. [`replay`] plays one.
//!
//! To repeat, a run needs nonces, jitter and the clients' time from outside, a biased `select!`, and one request at a
//! time. Where a run has several requests at once, the oldest is chosen first.

mod connector;
mod gateway;
mod play;
mod schedule;
mod search;
mod steps;
mod touch;

pub use gateway::{Gateway, Strikes, Struck, strike_each_request, strike_many_requests};
pub use play::{End, Played, Running, Scenario, Stage, Start, Step, Tamper, replay};
pub use schedule::{Choice, Fate, Schedule};
pub use search::{Bounds, Broken, Numbers, search};
pub use touch::Touch;
