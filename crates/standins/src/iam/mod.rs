//! Who may do what: users, roles, sessions, and the policies that speak of them.

mod directory;
mod policy;
pub(crate) mod wildcard;

pub use directory::{Credentials, DEFAULT_ACCOUNT, Directory, Role};
pub use policy::{Decision, Policy, PolicyError, Question, evaluate};

pub(crate) use directory::{AssumeError, AssumeRequest, Identity, TokenError};
