//! Many short runs, all from one seed. Operations fail, requests are killed, and two exporters run at once. Owners of files
//! die, fragments are written again, destinations come and go, and hours pass. At the end every event is exported once,
//! byte for byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws::Dice;
use bytes::Bytes;
use export::cut::Limits;
use exporter::App;
use futures_util::{StreamExt, stream};
use protocol::fragment::Origin;
use protocol::head::REMEMBERED_MS;
use protocol::id::Epoch;
use protocol::position::ByteRange;
use serde_json::json;
use standins::faults::{Fault, Gate, Rule};
use standins::seeds::seeds;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::world::{LATER_MS, NOW_MS, STATE, STREAM, World, destination, documented_role, role_arn, tick};

/// The seeds of a usual test run.
const SEEDS: std::ops::Range<u64> = 0..64;

/// Stories that a thread plays at a time: they mostly wait.
const AT_A_TIME: usize = 8;

/// Goes to two buckets, one of which refuses now and then.
const SHARED: &str = "qv5iYYMxd94DahFpRzm58y";

/// Goes to one bucket, whose destination comes and goes.
const ALONE: &str = "mctPe02Qp3";

#[test]
fn each_event_is_exported_once_through_random_faults_and_kills() {
    // A story is single-threaded, like the function. Several stories run in parallel to use all cores.
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mine = seeds(SEEDS).skip(thread).step_by(threads);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(stream::iter(mine).map(play).buffer_unordered(AT_A_TIME).collect::<Vec<()>>());
            });
        }
    });
}

/// A file that one owner after the other reads, each killed at some point.
#[derive(Default)]
struct File {
    epoch: u32,
    settled: u64,
    committed: Vec<(u32, u64, u64)>,
    garbage: Vec<String>,
}

/// Events of one fragment. In some stories they are small and compressed again, in others they are joined.
fn events(dice: &Dice, joined: bool) -> u32 {
    if joined { 70 } else { 1 + u32::try_from(dice.below(4)).unwrap() }
}

impl File {
    /// The next owner's life: it stages batches, commits now and then, and is killed.
    fn owner(&mut self, world: &mut World, dice: &Dice, joined: bool) {
        self.epoch += 1;
        let mut at = self.settled;
        let mut pending = Vec::new();
        for _ in 0..dice.below(5) {
            let to = at + 1 + dice.below(100);
            let range = ByteRange { from: at, to };
            let origin = Origin::File { stream: STREAM.parse().unwrap(), epoch: Epoch(self.epoch), range };
            pending.push(world.stage(SHARED, origin, events(dice, joined), NOW_MS));
            at = to;
            if dice.below(2) == 0 {
                self.committed.push((self.epoch, self.settled, at));
                self.settled = at;
                let lines = pending.drain(..).flat_map(|(_, lines)| lines);
                world.received.entry(SHARED.to_owned()).or_default().extend(lines);
            }
        }
        self.garbage.extend(pending.into_iter().map(|(key, _)| key));
    }
}

async fn play(seed: u64) {
    let dice = Dice::seeded(seed);
    let mut world = World::with(&["logs-a", "logs-b", "logs-c"]).await;
    world.seed = seed + 1;
    let shared = destination("d0", "logs-a", &[SHARED]) + &destination("d2", "logs-c", &[SHARED]);
    let whole = destination("d1", "logs-b", &[ALONE]) + &shared;
    let (mut file, mut zombies) = (File::default(), Vec::new());
    let joined = dice.below(2) == 0;
    let clock = Arc::new(AtomicI64::new(NOW_MS));
    let mut first_tries: Vec<(String, Bytes)> = Vec::new();
    for round in 0..3 + dice.below(3) {
        for request in 0..dice.below(5) {
            let source = if dice.below(3) == 0 { ALONE } else { SHARED };
            let key = world.receive(source, &format!("r{round}-{request}"), events(&dice, joined));
            if dice.below(3) == 0 {
                first_tries.push((key.clone(), world.s3.bytes(STATE, &key).unwrap()));
            }
        }
        // A put that was slower than its second try lands after all, whatever became of the fragment meanwhile.
        if dice.below(2) == 0
            && let Some((key, bytes)) = first_tries.pop()
        {
            world.s3.put(STATE, &key, bytes).unwrap();
        }
        file.owner(&mut world, &dice, joined);
        // Half of the time the checkpoint comes while the exporters are at work already.
        let late = dice.below(2) == 0;
        if !late {
            world.commit(&file.committed);
        }
        world.routes = if dice.below(5) == 0 { shared.clone() } else { whole.clone() };
        for bucket in ["logs-b", "logs-c"] {
            if dice.below(6) == 0 {
                world.s3.directory().remove_role(&role_arn(bucket));
                world.s3.directory().expire_sessions();
            } else {
                world.s3.directory().add_role(documented_role(bucket));
            }
        }
        world.s3.faults().clear();
        world.s3.faults().add(Rule::any().share(seed * 100 + round, 0.05).chaos());
        let puts = Rule::on("PutObject").share(seed * 100 + round, 0.02);
        world.s3.faults().add(puts.before(Fault::Conflict).before(Fault::CutRequest));
        let mut settings = world.settings();
        let fragments_max = 2 + usize::try_from(dice.below(6)).unwrap();
        settings.limits = Limits { fragments_max, raw_bytes_max: 200_000 };
        let app = || {
            let clock = Arc::clone(&clock);
            Arc::new(world.app_with(settings.clone(), aws::Clock::from_fn(move || clock.load(Ordering::SeqCst))))
        };
        // All rounds together are shorter than closed plans are remembered, as a late put is.
        clock.fetch_add(i64::try_from(dice.below(9 * 60_000)).unwrap(), Ordering::SeqCst);
        if dice.below(4) == 0 {
            zombies.push(zombie(&world, &dice, app()).await);
        }
        let (one, other) = (life(&world, &dice, app()), life(&world, &dice, app()));
        if dice.below(3) == 0 {
            tokio::join!(one, other);
        } else {
            one.await;
        }
        if late {
            world.commit(&file.committed);
        }
        if dice.below(2) == 0 {
            wake(&mut zombies).await;
        }
    }
    assert!(!world.s3.faults().strikes().is_empty(), "seed {seed}: nothing went wrong");
    world.s3.faults().clear();
    wake(&mut zombies).await;
    world.routes = whole;
    for bucket in ["logs-b", "logs-c"] {
        world.s3.directory().add_role(documented_role(bucket));
    }
    for request in ["last", "very-last"] {
        for source in [ALONE, SHARED] {
            world.receive(source, request, 1);
        }
        let report = tick(&world.app_at(clock.load(Ordering::SeqCst))).await;
        assert_eq!(report.alarms, Vec::<String>::new(), "seed {seed}");
    }
    // Hours later nothing is remembered any more but the last plan.
    world.receive(SHARED, "hours-later", 1);
    tick(&world.app_at(NOW_MS + 4 * REMEMBERED_MS)).await;
    world.receive(SHARED, "after-that", 1);
    tick(&world.app_at(NOW_MS + 4 * REMEMBERED_MS)).await;
    assert_eq!(world.head()["closed"].as_array().unwrap().len(), 2, "seed {seed}");
    for (bucket, source) in [("logs-a", SHARED), ("logs-b", ALONE), ("logs-c", SHARED)] {
        world.assert_complete_of(bucket, &[source]);
    }
    world.assert_settled_but_for(&file.garbage);
    world.assert_tidy();
}

/// Runs a tick that is killed at some request, or not at all.
fn life(world: &World, dice: &Dice, app: Arc<App>) -> impl Future<Output = ()> + use<> {
    let killed = Arc::new(Notify::new());
    if dice.below(3) > 0 {
        let kill = Arc::clone(&killed);
        let kill = Fault::Do(Arc::new(move |_| kill.notify_one()));
        let rule = Rule::any().skip(dice.below(80)).times(1);
        world.s3.faults().add(if dice.below(2) == 0 { rule.before(kill) } else { rule.after(kill) });
    }
    async move {
        tokio::select! {
            biased;
            () = killed.notified() => {}
            // It may fail, because its own bucket fails.
            _ = app.handle(json!({}), LATER_MS) => {}
            () = tokio::time::sleep(Duration::from_secs(120)) => panic!("a tick that does not end"),
        }
    }
}

/// Starts a tick that falls asleep at some request, if it comes so far.
async fn zombie(world: &World, dice: &Dice, app: Arc<App>) -> (Gate, JoinHandle<()>) {
    let gate = Gate::new();
    let rule = Rule::any().skip(dice.below(60)).times(1).before(Fault::Hold(gate.clone()));
    world.s3.faults().add(rule);
    let mut asleep = tokio::spawn(async move {
        let _ = app.handle(json!({}), LATER_MS).await;
    });
    tokio::select! {
        () = gate.reached(1) => (gate, asleep),
        _ = &mut asleep => {
            // The gate stays for the next requests of any run.
            gate.open();
            (gate, tokio::spawn(async {}))
        }
    }
}

/// Lets them run to their ends.
async fn wake(zombies: &mut Vec<(Gate, JoinHandle<()>)>) {
    for (gate, asleep) in zombies.drain(..) {
        gate.open();
        asleep.await.unwrap();
    }
}
