//! Files as tools export them, read by the mappings of a configuration.

use serde_json::{Value, json};
use standins::lambda::{Function, Outcome};
use standins::segment;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use stories::mill::{kill_once_committed, killable};
use stories::{CUSTOMER, SOURCE, STATE, World, answer, created, event, sample};

const ORDERS: &str = "shop/orders_export_1.csv";
const DOCUMENT: &str = "config/segment-s3.toml";

/// The ingester, with its configuration in an object.
fn ingester(world: &World, document: impl AsRef<[u8]>) -> Function {
    world.s3.put(SOURCE, DOCUMENT, document.as_ref()).unwrap();
    world.ingester().env("CONFIG", format!("s3://{SOURCE}/{DOCUMENT}"))
}

fn ledgers(world: &World) -> Vec<Value> {
    let keys = world.s3.keys(STATE, "ingest/").into_iter().filter(|key| key.ends_with("ledger.json"));
    keys.map(|key| serde_json::from_slice(&world.s3.bytes(STATE, &key).unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn a_shop_export_feeds_two_mappings_and_each_has_its_own_ledger() {
    let world = World::new().await;
    world.s3.put(SOURCE, ORDERS, sample("exports/orders_export_1.csv")).unwrap();
    let function = ingester(&world, sample("segment-s3.toml")).deploy();
    let report = answer(&function, &created(ORDERS)).await;
    let told = |at: usize, name: &str| report["objects"][at][name].clone();
    for (at, mapping, rows, skipped) in [(0, "shopify-orders", 25, 2), (1, "shopify-customers", 26, 1)] {
        assert_eq!((told(at, "outcome"), told(at, "mapping")), (json!("finished"), json!(mapping)), "{report:#}");
        assert_eq!(
            (told(at, "rows"), told(at, "acknowledged"), told(at, "skipped_rows")),
            (json!(rows), json!(rows), json!(skipped))
        );
    }
    assert!(world.segment.record().dropped().is_empty());
    let calls: Vec<Value> = world.segment.record().applied().iter().map(|call| call.value()).collect();
    let of = |kind: &str| calls.iter().filter(|call| call["type"] == kind).collect::<Vec<_>>();
    assert_eq!((of("track").len(), of("identify").len()), (20, 21));
    let order = of("track").into_iter().find(|call| call["properties"]["order_id"] == "1001").unwrap();
    assert_eq!((&order["userId"], &order["event"]), (&json!("ada.brandt@example.com"), &json!("Order Completed")));
    let products = order["properties"]["products"].as_array().unwrap();
    let names: Vec<&str> = products.iter().map(|product| product["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Wall Hook (Set of 3)", "Oak Desk Lamp", "Ceramic Mug"]);
    assert_eq!(order["properties"]["total"], json!(212.8));

    let streams: BTreeSet<String> = ledgers(&world).iter().map(|ledger| ledger["stream"].to_string()).collect();
    assert_eq!((ledgers(&world).len(), streams.len()), (2, 2));
    let report = answer(&function, &created(ORDERS)).await;
    let outcomes: Vec<&Value> = report["objects"].as_array().unwrap().iter().map(|object| &object["outcome"]).collect();
    assert_eq!(outcomes, ["already_done", "already_done"]);
    world.export().await;
    assert_eq!(world.logged().len(), 41);
}

#[tokio::test]
async fn rejected_rows_come_back_to_the_mapping_that_refused_them_and_to_no_other() {
    let world = World::new().await;
    let document = r#"
        [[mapping]]
        name = "people"
        match = "in/*.csv"
        also = true
        call = "identify"
        rest = "drop"
        columns."Email" = "userId"
        columns."Age" = "traits.age:integer"

        [[mapping]]
        name = "trials"
        match = "in/*.csv"
        call = "track"
        rest = "drop"
        set = { "event" = "Trial Started" }
        columns."Email" = "userId"
        columns."Seats" = "properties.seats:integer"
    "#;
    let function = ingester(&world, document).deploy();
    let file = "in/trials_1.csv";
    world.s3.put(SOURCE, file, "Email,Age,Seats\na,old,1\nb,30,many\nc,40,3\n").unwrap();
    answer(&function, &created(file)).await;
    let mut rejects: Vec<String> = world.s3.keys(STATE, "rejects/");
    rejects.sort_by_key(|key| key.contains(".trials."));
    let names: Vec<&str> = rejects.iter().map(|key| key.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["trials_1.people.rejects.csv", "trials_1.trials.rejects.csv"]);
    let before = world.segment.record().applied().len();
    assert_eq!(before, 4, "two rows of three for each mapping");

    for (key, wrong, right, mapping) in [(&rejects[0], "old", "20", "people"), (&rejects[1], "many", "2", "trials")] {
        let corrected = String::from_utf8(world.s3.bytes(STATE, key).unwrap().to_vec()).unwrap();
        // The reason beside a row has its cell too.
        let corrected = corrected.replace(&format!(",{wrong},"), &format!(",{right},"));
        let corrected = corrected.replace(&format!(",{wrong}\n"), &format!(",{right}\n"));
        let key = format!("in/{}", key.rsplit('/').next().unwrap());
        world.s3.put(SOURCE, &key, corrected.clone()).unwrap();
        let report = answer(&function, &created(&key)).await;
        let objects = report["objects"].as_array().unwrap();
        assert_eq!(objects.len(), 1, "{report:#}");
        assert_eq!((&objects[0]["mapping"], &objects[0]["acknowledged"]), (&json!(mapping), &json!(1)), "{corrected}");
    }
    let calls: Vec<Value> = world.segment.record().applied()[before..].iter().map(|call| call.value()).collect();
    assert_eq!((&calls[0]["userId"], &calls[0]["traits"]), (&json!("a"), &json!({"age": 20})));
    assert_eq!((&calls[1]["userId"], &calls[1]["properties"]), (&json!("b"), &json!({"seats": 2})));
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn each_source_gets_its_own_files_and_a_key_that_none_takes_is_a_failed_message() {
    let mut world = World::new().await;
    world.segment =
        segment::Server::setup().with_write_key("wk-of-crm").with_write_key("wk-of-shop").start().await.unwrap();
    world.segment_url = world.segment.url();
    let document = r#"
        [[source]]
        name = "crm"
        id = "crmSource1"
        write_key = "env:CRM_KEY"
        match = "crm/**"

        [[source]]
        name = "shop"
        id = "shopSource1"
        write_key = "env:SHOP_KEY"
        match = "shop/**"
    "#;
    let function = ingester(&world, document).env("WRITE_KEY", "").env("SOURCE_ID", "");
    let function = function.env("CRM_KEY", "wk-of-crm").env("SHOP_KEY", "wk-of-shop").deploy();
    for (key, user) in [("crm/track_1.csv", "of-crm"), ("shop/track_1.csv", "of-shop"), ("lost/track_1.csv", "of-none")]
    {
        world.s3.put(SOURCE, key, format!("userId,event\n{user},Seen\n")).unwrap();
    }
    let report = answer(&function, &created("crm/track_1.csv")).await;
    assert_eq!(report["objects"][0]["source"], "crm", "{report:#}");
    answer(&function, &created("shop/track_1.csv")).await;
    let sent: BTreeMap<String, Option<String>> = world
        .segment
        .record()
        .deliveries()
        .into_iter()
        .map(|one| (one.write_key, one.calls[0].user_id.clone()))
        .collect();
    let expected = [("wk-of-crm", "of-crm"), ("wk-of-shop", "of-shop")];
    assert_eq!(sent, expected.map(|(key, user)| (key.to_owned(), Some(user.to_owned()))).into());

    let message = json!({"Records": [{
        "messageId": "message-1", "receiptHandle": "r", "eventSource": "aws:sqs",
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795651200000"},
        "body": created("lost/track_1.csv").to_string(),
    }]});
    let report = answer(&function, &message).await;
    assert_eq!(report["batchItemFailures"], json!([{"itemIdentifier": "message-1"}]), "{report:#}");
    assert_eq!(report["objects"][0]["reason"], "no [[source]] of CONFIG takes this key");
    assert_eq!(world.segment.record().applied().len(), 2);

    world.export().await;
    let folder = |id: &str| world.s3.keys(CUSTOMER, &format!("segment-logs/{id}/")).len();
    assert_eq!((folder("crmSource1"), folder("shopSource1")), (1, 1));
}

/// Two rows for each of so many orders.
const ORDERS_OF_KILL: usize = 3_000;

fn document(event: &str, products: &str) -> String {
    format!(
        r#"
        [[mapping]]
        name = "orders"
        match = "**/orders*.csv"
        call = "track"
        group = "No"
        set = {{ "event" = "{event}" }}
        rest = "drop"
        columns."User" = "userId"
        columns."No" = "properties.order_id"
        columns."Item" = "properties.{products}[].name"
        "#
    )
}

#[tokio::test]
async fn a_file_that_a_kill_interrupts_is_finished_under_the_document_that_it_was_begun_under() {
    let world = World::new().await;
    let mut csv = "No,User,Item\n".to_owned();
    for order in 0..ORDERS_OF_KILL {
        let _ = write!(csv, "{order},user-{order},Lamp\n{order},,Mug\n");
    }
    world.s3.put(SOURCE, "orders_1.csv", csv.clone()).unwrap();
    let function = |document: String, offset_ms: i64| {
        let function = killable(ingester(&world, document)).env("LEASE_SECONDS", "30");
        function.env("CLOCK_OFFSET_MS", offset_ms.to_string()).deploy()
    };
    let first = function(document("Ordered", "products"), 0);
    kill_once_committed(world.s3.faults(), world.segment.faults(), &first, 1, 1);
    let killed = first.invoke(&created("orders_1.csv")).await;
    assert!(matches!(killed.outcome, Outcome::Crashed { signal: Some(9), .. }), "{killed:#?}");
    assert!(ledgers(&world).is_empty(), "the file has not ended");
    world.s3.faults().clear();
    world.segment.faults().clear();

    let second = function(document("Bought", "items"), 60_000);
    let report = answer(&second, &created("orders_1.csv")).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
    let mut orders = BTreeMap::new();
    for call in world.segment.record().applied() {
        let value = call.value();
        assert_eq!(value["event"], "Ordered");
        assert_eq!(value["properties"]["products"], json!([{"name": "Lamp"}, {"name": "Mug"}]));
        orders.entry(call.user_id.unwrap()).or_insert_with(BTreeSet::new).insert(call.message_id.unwrap());
    }
    assert_eq!(orders.len(), ORDERS_OF_KILL);
    assert!(orders.values().all(|ids| ids.len() == 1), "a call that was sent again has its message id");
    let sent = world.segment.record().applied().len();
    assert!(sent > ORDERS_OF_KILL, "the kill made some calls come again");
    let account = &ledgers(&world)[0]["account"];
    assert_eq!(account["acknowledged"], 2 * ORDERS_OF_KILL, "{account}");

    // A file that begins now is read by the new document.
    world.s3.put(SOURCE, "orders_2.csv", "No,User,Item\n1,u,Lamp\n").unwrap();
    answer(&second, &created("orders_2.csv")).await;
    let last = world.segment.record().applied().pop().unwrap().value();
    assert_eq!((&last["event"], &last["properties"]["items"]), (&json!("Bought"), &json!([{"name": "Lamp"}])));
    let exporter = world.exporter().env("CLOCK_OFFSET_MS", "60000").deploy();
    answer(&exporter, &event("scheduled.json")).await;
    assert_eq!(world.logged().len(), ORDERS_OF_KILL + 1);
}
