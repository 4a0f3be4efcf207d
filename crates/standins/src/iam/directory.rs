//! The people and roles of one server, and the credentials they hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::policy::{Decision, Policy, Question, evaluate};
use crate::clock::Clock;
use crate::dice;

/// The account that everything belongs to unless it says otherwise.
pub const DEFAULT_ACCOUNT: &str = "123456789012";

/// "Minimum session duration", IAM User Guide.
const SESSION_SECONDS_MIN: u64 = 900;
/// The default length of a session.
const SESSION_SECONDS_DEFAULT: u64 = 3_600;
/// "Role chaining limits your role session to a maximum of one hour", IAM User Guide.
const CHAINED_SECONDS_MAX: u64 = 3_600;

/// An access key, with its session token if it is a session's.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AKIA…` of a user, `ASIA…` of a session.
    pub access_key_id: String,
    /// The secret that requests are signed with.
    pub secret_access_key: String,
    /// The session token that requests must carry too.
    pub session_token: Option<String>,
    /// When a session ends, in milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
}

impl Credentials {
    /// The environment variables from which every AWS client reads them.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = vec![
            (String::from("AWS_ACCESS_KEY_ID"), self.access_key_id.clone()),
            (String::from("AWS_SECRET_ACCESS_KEY"), self.secret_access_key.clone()),
        ];
        // An empty one replaces the token of another key.
        env.push((String::from("AWS_SESSION_TOKEN"), self.session_token.clone().unwrap_or_default()));
        env
    }

    fn new(prefix: &str) -> Credentials {
        Credentials {
            access_key_id: format!("{prefix}{}", dice::base32(16)),
            secret_access_key: dice::token(20),
            session_token: None,
            expires_at_ms: None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// A role: who may assume it, and what its sessions may do.
#[derive(Clone, Debug)]
pub struct Role {
    arn: String,
    trust: Option<Policy>,
    trusted: Vec<String>,
    external_id: Option<String>,
    policies: Vec<Policy>,
    session_max: Duration,
}

impl Role {
    /// A role of this ARN (`arn:aws:iam::ACCOUNT_ID:role/ROLE_NAME`) that trusts no one and has no permission.
    pub fn new(arn: &str) -> Role {
        Role {
            arn: arn.to_owned(),
            trust: None,
            trusted: Vec::new(),
            external_id: None,
            policies: Vec::new(),
            session_max: Duration::from_secs(SESSION_SECONDS_DEFAULT),
        }
    }

    /// Trusts this principal: an ARN, an account id (all in it), or `*`.
    #[must_use]
    pub fn trusting(mut self, principal: &str) -> Role {
        let account = principal.len() == 12 && principal.bytes().all(|b| b.is_ascii_digit());
        self.trusted.push(match account {
            true => format!("arn:aws:iam::{principal}:root"),
            false => principal.to_owned(),
        });
        self
    }

    /// Lets only callers assume it who give this external id.
    #[must_use]
    pub fn external_id(mut self, external_id: &str) -> Role {
        self.external_id = Some(external_id.to_owned());
        self
    }

    /// Sets the whole trust policy document, in place of the two above.
    ///
    /// # Panics
    /// If the document cannot be used: a story would otherwise test nothing.
    #[must_use]
    pub fn trust_policy(mut self, json: &str) -> Role {
        self.trust = Some(parse(json));
        self
    }

    /// Adds an inline policy document.
    ///
    /// # Panics
    /// If the document cannot be used: a story would otherwise test nothing.
    #[must_use]
    pub fn policy(mut self, json: &str) -> Role {
        self.policies.push(parse(json));
        self
    }

    /// The longest possible session; one hour by default.
    #[must_use]
    pub fn session_max(mut self, session_max: Duration) -> Role {
        self.session_max = session_max;
        self
    }

    fn trusts(&self, caller: &Identity, external_id: Option<&str>) -> bool {
        let principal = caller.role_arn.as_ref().unwrap_or(&caller.arn);
        let mut context = BTreeMap::from([(String::from("aws:principalarn"), principal.clone())]);
        context.extend(external_id.map(|id| (String::from("sts:externalid"), id.to_owned())));
        if let Some(policy) = &self.trust {
            let principals = caller.principals();
            let question =
                Question { action: "sts:AssumeRole", resource: &self.arn, principals: &principals, context: &context };
            return evaluate([policy], &question) == Decision::Allow;
        }
        let principals = caller.principals();
        let named = |trusted: &String| trusted == "*" || principals.contains(trusted);
        let id_given = self.external_id.as_deref().is_none_or(|id| external_id == Some(id));
        self.trusted.iter().any(named) && id_given
    }

    fn names(&self, caller: &Identity) -> bool {
        self.trusted
            .iter()
            .any(|trusted| *trusted == caller.arn || caller.role_arn.as_deref() == Some(trusted.as_str()))
    }
}

#[expect(clippy::panic, reason = "a mistake in a story must not pass for a policy")]
fn parse(json: &str) -> Policy {
    match Policy::parse(json) {
        Ok(policy) => policy,
        Err(error) => panic!("{error}: {json}"),
    }
}

/// Who made a request.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) arn: String,
    pub(crate) account: String,
    pub(crate) user_id: String,
    /// Of a session: the role it is a session of.
    role_arn: Option<String>,
    policies: Vec<Policy>,
    /// The session policy that the caller passed.
    session_policy: Option<Policy>,
    asked: Asked,
}

/// The permissions that requests of one user or role needed: action and resource.
#[derive(Clone, Debug, Default)]
struct Asked(Arc<Mutex<BTreeSet<(String, String)>>>);

impl Asked {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// What the policy of a resource says to this identity.
    pub(crate) fn under(
        &self,
        policy: &Policy,
        action: &str,
        resource: &str,
        context: &BTreeMap<String, String>,
    ) -> Decision {
        evaluate([policy], &Question { action, resource, principals: &self.principals(), context })
    }

    /// Whether this identity may do that.
    pub(crate) fn may(&self, action: &str, resource: &str, context: &BTreeMap<String, String>) -> bool {
        self.asked.lock().insert((action.to_owned(), resource.to_owned()));
        let question = Question { action, resource, principals: &[], context };
        evaluate(&self.policies, &question) == Decision::Allow
            && self.session_policy.iter().all(|policy| evaluate([policy], &question) == Decision::Allow)
    }

    fn principals(&self) -> Vec<String> {
        let mut names = vec![self.arn.clone(), format!("arn:aws:iam::{}:root", self.account)];
        names.extend(self.role_arn.clone());
        names
    }
}

/// A question to STS.
#[derive(Debug)]
pub(crate) struct AssumeRequest<'a> {
    pub(crate) role_arn: &'a str,
    pub(crate) session_name: &'a str,
    pub(crate) external_id: Option<&'a str>,
    pub(crate) duration_seconds: Option<u64>,
    pub(crate) policy: Option<&'a str>,
}

#[derive(Debug)]
pub(crate) enum AssumeError {
    Denied,
    Invalid(String),
    MalformedPolicy(String),
}

/// A session as STS hands it out.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) credentials: Credentials,
    pub(crate) arn: String,
    pub(crate) user_id: String,
}

/// Why a key that is known may still not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    UnknownKey,
    WrongToken,
    Expired,
}

/// Users, roles and sessions. Clones share them.
#[derive(Clone, Debug)]
pub struct Directory {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<String, (Credentials, Arc<Identity>)>,
    roles: HashMap<String, Role>,
    /// By the ARN of the user or the role.
    asked: HashMap<String, Asked>,
}

impl Directory {
    /// An empty directory by this clock.
    pub fn new(clock: Clock) -> Directory {
        Directory { state: Arc::default(), clock }
    }

    /// Adds a user (`arn:aws:iam::ACCOUNT_ID:user/NAME`) with these policies.
    pub fn add_user(&self, arn: &str, policies: Vec<Policy>) -> Credentials {
        let credentials = Credentials::new("AKIA");
        self.add_user_with(arn, policies, credentials)
    }

    /// As [`add_user`](Directory::add_user), with an access key of the caller's choice.
    pub fn add_user_with(&self, arn: &str, policies: Vec<Policy>, credentials: Credentials) -> Credentials {
        let identity = Identity {
            arn: arn.to_owned(),
            account: account_of(arn),
            user_id: format!("AIDA{}", dice::base32(17)),
            role_arn: None,
            policies,
            session_policy: None,
            asked: self.asked_by(arn),
        };
        self.keep(credentials, identity)
    }

    /// Adds a role, or replaces the one of the same ARN. Existing sessions do not change.
    pub fn add_role(&self, role: Role) {
        self.state().roles.insert(role.arn.clone(), role);
    }

    /// Removes a role. Existing sessions do not change.
    pub fn remove_role(&self, arn: &str) {
        self.state().roles.remove(arn);
    }

    /// A session of a role without asking STS, as Lambda gets it for its execution role. `None` if the role does not
    /// exist.
    pub fn session_of(&self, role_arn: &str, session_name: &str, lasts: Duration) -> Option<Credentials> {
        let role = self.state().roles.get(role_arn).cloned()?;
        Some(self.open_session(&role, session_name, None, lasts).credentials)
    }

    /// The permissions that requests of a user or a role needed so far, granted or not: action and resource.
    pub fn asked(&self, arn: &str) -> BTreeSet<(String, String)> {
        self.asked_by(arn).lock().clone()
    }

    fn asked_by(&self, arn: &str) -> Asked {
        self.state().asked.entry(arn.to_owned()).or_default().clone()
    }

    /// Ends every session at once, as their expiry would.
    pub fn expire_sessions(&self) {
        let now_ms = self.clock.now_ms();
        for (credentials, _) in self.state().keys.values_mut() {
            if let Some(expires_at_ms) = &mut credentials.expires_at_ms {
                *expires_at_ms = now_ms;
            }
        }
    }

    pub(crate) fn secret_of(&self, access_key_id: &str) -> Option<String> {
        let state = self.state();
        let (credentials, _) = state.keys.get(access_key_id)?;
        Some(credentials.secret_access_key.clone())
    }

    pub(crate) fn identify(&self, access_key_id: &str, token: Option<&str>) -> Result<Arc<Identity>, TokenError> {
        let state = self.state();
        let (credentials, identity) = state.keys.get(access_key_id).ok_or(TokenError::UnknownKey)?;
        match (credentials.session_token.as_deref(), token) {
            // A session's key without its token is unknown.
            (Some(_), None) => return Err(TokenError::UnknownKey),
            (expected, given) if expected != given => return Err(TokenError::WrongToken),
            _ => {}
        }
        let now_ms = self.clock.now_ms();
        match credentials.expires_at_ms {
            Some(expires_at_ms) if expires_at_ms <= now_ms => Err(TokenError::Expired),
            _ => Ok(Arc::clone(identity)),
        }
    }

    pub(crate) fn assume(&self, caller: &Identity, request: &AssumeRequest<'_>) -> Result<Session, AssumeError> {
        let session_policy = request
            .policy
            .map(Policy::parse)
            .transpose()
            .map_err(|error| AssumeError::MalformedPolicy(error.to_string()))?;
        let role = self.state().roles.get(request.role_arn).cloned();
        // The same answer for a missing role, a missing trust and a wrong external id, because AWS gives callers no
        // reason.
        let role = role.filter(|role| role.trusts(caller, request.external_id)).ok_or(AssumeError::Denied)?;
        let same_account = account_of(&role.arn) == caller.account;
        let named = same_account && role.names(caller);
        if !named && !caller.may("sts:AssumeRole", &role.arn, &BTreeMap::new()) {
            return Err(AssumeError::Denied);
        }
        let seconds = session_seconds(&role, caller, request.duration_seconds)?;
        Ok(self.open_session(&role, request.session_name, session_policy, Duration::from_secs(seconds)))
    }

    fn open_session(
        &self,
        role: &Role,
        session_name: &str,
        session_policy: Option<Policy>,
        lasts: Duration,
    ) -> Session {
        let lasts_ms = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        let mut credentials = Credentials::new("ASIA");
        credentials.session_token = Some(dice::token(64));
        credentials.expires_at_ms = Some(self.clock.now_ms().saturating_add(lasts_ms));
        let account = account_of(&role.arn);
        let role_name = role.arn.rsplit('/').next().unwrap_or_default();
        let arn = format!("arn:aws:sts::{account}:assumed-role/{role_name}/{session_name}");
        let user_id = format!("AROA{}:{session_name}", dice::base32(17));
        let identity = Identity {
            arn: arn.clone(),
            account,
            user_id: user_id.clone(),
            role_arn: Some(role.arn.clone()),
            policies: role.policies.clone(),
            session_policy,
            asked: self.asked_by(&role.arn),
        };
        Session { credentials: self.keep(credentials, identity), arn, user_id }
    }

    fn keep(&self, credentials: Credentials, identity: Identity) -> Credentials {
        self.state().keys.insert(credentials.access_key_id.clone(), (credentials.clone(), Arc::new(identity)));
        credentials
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn session_seconds(role: &Role, caller: &Identity, asked: Option<u64>) -> Result<u64, AssumeError> {
    let seconds = asked.unwrap_or(SESSION_SECONDS_DEFAULT);
    let complaint = if seconds < SESSION_SECONDS_MIN {
        format!(
            "1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy \
             constraint: Member must have value greater than or equal to {SESSION_SECONDS_MIN}"
        )
    } else if caller.role_arn.is_some() && seconds > CHAINED_SECONDS_MAX {
        String::from(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        )
    } else if asked.is_some() && seconds > role.session_max.as_secs() {
        String::from("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    } else {
        return Ok(seconds);
    };
    Err(AssumeError::Invalid(complaint))
}

/// `arn:aws:iam::123456789012:role/x` → `123456789012`
fn account_of(arn: &str) -> String {
    arn.split(':').nth(4).unwrap_or(DEFAULT_ACCOUNT).to_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::210987654321:role/logs";

    fn directory(role: Role) -> (Directory, Arc<Identity>) {
        let directory = Directory::new(Clock::frozen_at(0));
        let user = directory.add_user("arn:aws:iam::123456789012:user/admin", vec![Policy::allow_all()]);
        directory.add_role(role);
        let caller = directory.identify(&user.access_key_id, None).unwrap();
        (directory, caller)
    }

    fn assume(role: Role, external_id: Option<&str>) -> Result<Session, AssumeError> {
        let (directory, caller) = directory(role);
        directory.assume(
            &caller,
            &AssumeRequest {
                role_arn: ROLE,
                session_name: "exporter",
                external_id,
                duration_seconds: None,
                policy: None,
            },
        )
    }

    #[test]
    fn a_role_is_assumed_only_by_trusted_callers_with_the_external_id() {
        let role = || Role::new(ROLE).trusting("123456789012").external_id("workspace");
        assert!(assume(role(), Some("workspace")).is_ok());
        for (role, external_id) in [
            (role(), None),
            (role(), Some("other")),
            (Role::new(ROLE), Some("workspace")),
            (Role::new(ROLE).trusting("595280932656"), None),
            (Role::new("arn:aws:iam::210987654321:role/another").trusting("*"), None),
        ] {
            assert!(matches!(assume(role, external_id), Err(AssumeError::Denied)));
        }
    }

    #[test]
    fn the_documented_trust_policy_works() {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow",
            "Principal":{"AWS":"arn:aws:iam::123456789012:user/admin"},"Action":"sts:AssumeRole",
            "Condition":{"StringEquals":{"sts:ExternalId":"workspace"}}}]}"#;
        assert!(assume(Role::new(ROLE).trust_policy(trust), Some("workspace")).is_ok());
        assert!(assume(Role::new(ROLE).trust_policy(trust), None).is_err());
    }

    #[test]
    fn a_session_needs_its_token_and_ends() {
        let clock = Clock::frozen_at(0);
        let directory = Directory::new(clock.clone());
        directory.add_role(Role::new(ROLE));
        let key = directory.session_of(ROLE, "s", Duration::from_secs(900)).unwrap();
        let token = key.session_token.as_deref();
        let identify = |token| directory.identify(&key.access_key_id, token).map(|_| ());
        assert_eq!(identify(token), Ok(()));
        assert_eq!(identify(None), Err(TokenError::UnknownKey));
        assert_eq!(identify(Some("x")), Err(TokenError::WrongToken));
        clock.advance(Duration::from_secs(900));
        assert_eq!(identify(token), Err(TokenError::Expired));
    }

    #[test]
    fn a_chained_session_lasts_an_hour_at_most() {
        let (directory, _) = directory(Role::new(ROLE).trusting("*").session_max(Duration::from_secs(7_200)));
        let lambda = "arn:aws:iam::123456789012:role/lambda";
        directory.add_role(
            Role::new(lambda).policy(r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}"#),
        );
        let key = directory.session_of(lambda, "f", Duration::from_secs(900)).unwrap();
        let caller = directory.identify(&key.access_key_id, key.session_token.as_deref()).unwrap();
        let ask = |seconds| {
            directory.assume(
                &caller,
                &AssumeRequest {
                    role_arn: ROLE,
                    session_name: "exporter",
                    external_id: None,
                    duration_seconds: Some(seconds),
                    policy: None,
                },
            )
        };
        assert!(ask(3_600).is_ok());
        assert!(matches!(ask(3_601), Err(AssumeError::Invalid(message)) if message.contains("chaining")));
        assert!(matches!(ask(899), Err(AssumeError::Invalid(_))));
    }
}
