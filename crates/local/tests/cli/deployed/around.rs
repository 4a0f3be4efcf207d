//! Credentials, troubles and completions.

use super::*;

#[tokio::test]
async fn each_trouble_is_a_sentence_with_what_to_do() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-trouble");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    for (args, words) in [
        (
            &["files", "--stack", "other"][..],
            "there is no such stack in this region and account: name another with --stack",
        ),
        (&["files"], "the state bucket is not known: name the stack with --stack, or the state bucket with --state"),
        (&["files", "--state", "missing"], "there is no such bucket"),
        (&["files", "--state", "s3://state"], "--state s3://state is a URI"),
        (&["show", "a.csv", "--state", STATE, "--inbox", "s3://inbox"], "--inbox s3://inbox is a URI"),
        (&["show", "", "--stack", "shop"], "the key is empty"),
        (&["show", "a\u{1b}\r\u{202e}.csv", "--stack", "shop"], "s3://inbox/a·⏎·.csv is known"),
        (&["replay", "a\u{1b}.csv", "--tag", "x", "--stack", "shop"], "there is no s3://inbox/a·.csv"),
        (&["drop", "/dev/null", "--inbox", INBOX, "--state", STATE], "it is not a regular file"),
        (&["files", "--stack", ""], "a value is required for '--stack <NAME>'"),
        (&["show", "track_1.csv", "--stack", "shop"], "no end and no failure of s3://inbox/track_1.csv is known"),
        (&["show", "s3://inbox", "--stack", "shop"], "write s3://BUCKET/KEY"),
        (&["drop", &file, "--inbox", LOGS, "--state", STATE], "your credentials may not do this: ask for s3:PutObject"),
        (
            &["redrive", "--state", STATE, "--dead-letters", "http://127.0.0.1:9/1/none", "--dry-run"],
            "there is no such queue",
        ),
    ] {
        let ended = aws.run(args).await;
        assert_eq!(ended.status, Some(2), "{args:?}: {}", ended.stdout);
        assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
    }
    let config = folder.file(
        "config",
        "[profile sso]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\nregion = \
        us-east-1\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.invalid/start\n",
    );
    for (settings, args, words) in [
        (&[][..], &["files", "--state", STATE][..], "there is no region: name it with --region"),
        (
            &[("AWS_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")],
            &["files", "--state", STATE],
            "there are no AWS credentials: name a profile with --profile",
        ),
        (
            &[("AWS_CONFIG_FILE", config.as_str()), ("HOME", folder.0.to_str().unwrap())],
            &["files", "--state", STATE, "--profile", "sso"],
            "the SSO session has expired, or there was no login: run `aws sso login --profile sso`",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segment-s3"));
        let child = command.args(args).env_clear().envs(settings.iter().copied()).stderr(Stdio::piped()).spawn();
        let ended = ended(child.unwrap()).await;
        assert!(ended.status == Some(2) && ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_named_profile_counts_before_the_keys_of_the_environment() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-profile");
    let Credentials { access_key_id, secret_access_key, .. } = &aws.key;
    let file = folder.file(
        "credentials",
        format!("[ann]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n"),
    );
    let run = async |profile: &[(&str, &str)], args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segment-s3"));
        command.args(["files", "--state", STATE]).args(args).env_clear().envs(aws.s3.env_as(&aws.key));
        command.envs([("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN"), ("AWS_SECRET_ACCESS_KEY", "unknown")]);
        command.env("AWS_SHARED_CREDENTIALS_FILE", &file).envs(profile.iter().copied());
        ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).await
    };
    let named = run(&[], &["--profile", "ann"]).await;
    assert_eq!(named.status, Some(0), "{}", named.stderr);
    let unknown = run(&[], &["--profile", "bob"]).await;
    assert!(
        unknown.status == Some(2) && unknown.stderr.contains("the profile bob is not defined"),
        "{}",
        unknown.stderr
    );
    let keys = run(&[("AWS_PROFILE", "ann")], &[]).await;
    assert_eq!(keys.status, Some(2), "keys of the environment count before AWS_PROFILE: {}", keys.stdout);
}

#[test]
fn bash_completes_the_options_of_a_command() {
    let script = crate::scene::run(&["completions", "bash"], &[], b"");
    // `complete -p` prints the function: `complete … -F NAME … segment-s3`.
    let complete = "set -- $(complete -p segment-s3); while [ \"$1\" != -F ]; do shift; done; \
        COMP_WORDS=(segment-s3 drop --no-f); COMP_CWORD=2; \"$2\" segment-s3 --no-f drop; echo ${COMPREPLY[@]}";
    let text = format!("{}\n{complete}\n", crate::scene::stdout(&script));
    // Where there is no bash, nothing can be completed.
    let Ok(output) = std::process::Command::new("bash").arg("-c").arg(text).output() else { return };
    assert_eq!(crate::scene::stdout(&output).trim(), "--no-follow", "{}", crate::scene::stderr(&output));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = crate::scene::run(&["completions", shell], &[], b"");
        let text = crate::scene::stdout(&output);
        assert!(output.status.success() && text.contains("redrive") && text.contains("dead-letters"), "{shell}");
    }
}
