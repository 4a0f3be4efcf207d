//! Functions that are killed anywhere. The next invocation resumes, and no row is lost or duplicated.

use aws::Dice;
use serde_json::Value;
use standins::faults::{Fault, Rule, Target};
use standins::lambda::{Function, Lambda, Outcome};
use standins::seeds::only_seed;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use stories::mill::{Mill, Rows};
use stories::{DAY_MS, event};

/// The shortest lease that is allowed; the clock jumps over it between two lives.
const LEASE_SECONDS: i64 = 5;
/// The number of stories that share the kills.
const STORIES: usize = 4;

/// Kills in all, over the stories of this file; `KILLS=2000` for a long night.
fn kills() -> usize {
    std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(210)
}

/// One file, killed at moments that the seed chooses until it finishes or `kills_max` are spent; says how many it were.
async fn a_file_killed_at_random(seed: u64, kills_max: usize) -> usize {
    let told = format!("seed {seed}");
    let dice = Dice::seeded(seed);
    let mill = Mill::new("track_killed.csv", Rows::new(20_000, 41, 150)).await;
    let (mut offset_ms, mut is_tomorrow) = (0, false);
    let commit_seconds = ["0", "0.03", "0.2"][usize::try_from(dice.below(3)).unwrap()];
    let in_flight = ["1", "2", "3"][usize::try_from(dice.below(3)).unwrap()];
    let ingester = |offset_ms: i64| {
        mill.ingester()
            .env("LEASE_SECONDS", LEASE_SECONDS.to_string())
            .env("COMMIT_SECONDS", commit_seconds)
            // Lives are short: a file should take many of them.
            .env("EVENTS_PER_SECOND", "8000")
            .env("REQUESTS_IN_FLIGHT", in_flight)
            .env("CLOCK_OFFSET_MS", offset_ms.to_string())
    };
    let exporter = |offset_ms: i64| mill.world.exporter().env("CLOCK_OFFSET_MS", offset_ms.to_string());
    let mut kills = 0;
    while kills < kills_max {
        // At times the killed run still seems to work.
        if dice.below(9) > 0 {
            offset_ms += (LEASE_SECONDS + 1) * 1_000;
        }
        if !is_tomorrow && committed_bytes(&mill) > mill.rows.csv.len() as u64 / 10 {
            // The next life begins just before a midnight that no clock here has reached yet.
            offset_ms = DAY_MS * 2 - now_ms() % DAY_MS - 150;
            is_tomorrow = true;
        }
        let (of_ingester, of_exporter) = (Dice::seeded(dice.number()), Dice::seeded(dice.number()));
        let (killed, exporter_killed) = tokio::join!(
            killed_somewhere(&mill, ingester(offset_ms), &of_ingester),
            export_killed_somewhere(exporter(offset_ms), &of_exporter),
        );
        kills += usize::from(killed) + usize::from(exporter_killed);
        if !mill.ledgers().is_empty() {
            break;
        }
    }
    while mill.ledgers().is_empty() {
        offset_ms += (LEASE_SECONDS + 1) * 1_000;
        ingester(offset_ms).deploy().invoke(&mill.event()).await;
    }
    // The last owner may have been killed between its last write and the end. The next run repairs that too.
    let invocation = ingester(offset_ms).deploy().invoke(&mill.event()).await;
    let report = invocation.response().unwrap_or_else(|| panic!("{told}: {invocation:#?}"));
    assert_eq!(report["objects"][0]["outcome"], "already_done", "{told}: {report:#}");
    mill.assert_ingested(&told);
    let days = mill.assert_exported(exporter(offset_ms + DAY_MS), &told).await;
    assert!(!is_tomorrow || days.len() > 1, "{told}: the logs have {days:?}");
    println!("{told}: {kills} kills, {} calls sent again, {} days", mill.duplicates(), days.len());
    kills
}

/// One life that ends at a moment which the dice choose; false if the function was quicker.
async fn killed_somewhere(mill: &Mill, function: Function, dice: &Dice) -> bool {
    let (lambda, event) = (function.deploy(), mill.event());
    if dice.below(2) == 0 {
        return killed_after(&lambda, &event, Duration::from_millis(dice.below(1_200))).await;
    }
    // At a step of the protocol: right before or right after a request of its is carried out.
    let steps = [
        ("PutObject", "*checkpoint.json", 8),
        ("PutObject", "received/*", 8),
        ("PutObject", "*/rejects/*", 3),
        ("GetObject", "*", 4),
        ("batch", "*", 10),
        ("batch", "*", 3),
    ];
    let (operation, key, skip_max) = steps[usize::try_from(dice.below(6)).unwrap()];
    let victim = lambda.clone();
    let kill = Fault::Do(Arc::new(move |_: &Target| victim.kill()));
    let rule = Rule::on(operation).key(key).skip(dice.below(skip_max)).times(1);
    let rule = if dice.below(2) == 0 { rule.before(kill) } else { rule.after(kill) };
    let faults = if operation == "batch" { mill.world.segment.faults() } else { mill.world.s3.faults() };
    faults.add(rule);
    // Where the step is never reached, time decides.
    let killed = killed_after(&lambda, &event, Duration::from_millis(1_200)).await;
    faults.clear();
    killed
}

/// False if the function was quicker.
async fn killed_after(lambda: &Lambda, payload: &Value, wait: Duration) -> bool {
    let killer = async {
        tokio::time::sleep(wait).await;
        lambda.kill();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        invocation = lambda.invoke(payload) => matches!(invocation.outcome, Outcome::Crashed { signal: Some(9), .. }),
        () = killer => true,
    }
}

/// Runs an exporter at times, and kills it at times.
async fn export_killed_somewhere(exporter: Function, dice: &Dice) -> bool {
    let wait = Duration::from_millis(dice.below(900));
    dice.below(5) == 0 && killed_after(&exporter.deploy(), &event("scheduled.json"), wait).await
}

/// How far the file is settled.
fn committed_bytes(mill: &Mill) -> u64 {
    mill.checkpoints().first().map_or(0, |checkpoint| checkpoint["position"]["byte"].as_u64().unwrap())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Files one after the other until a share of the kills is spent.
async fn files_killed_at_random(first_seed: u64) {
    let share = kills().div_ceil(STORIES);
    if let Some(seed) = only_seed() {
        a_file_killed_at_random(seed, share).await;
        return;
    }
    let (mut seed, mut kills) = (first_seed, 0);
    while kills < share {
        kills += a_file_killed_at_random(seed, share - kills).await;
        seed += 1;
    }
}

#[tokio::test]
async fn a_killed_function_resumes_at_the_last_commit() {
    tokio::join!(files_killed_at_random(1_000), files_killed_at_random(2_000));
}

#[tokio::test]
async fn a_killed_function_resumes_at_the_last_commit_with_other_seeds() {
    tokio::join!(files_killed_at_random(3_000), files_killed_at_random(4_000));
}
