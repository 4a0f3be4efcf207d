//! Seeded rows: the same on every machine.

use anyhow::bail;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// A small generator (Marsaglia's xorshift): what is measured must not depend on chance.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        (self.bits() >> 33) % sides
    }

    pub(crate) fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

const NAMES: [&str; 10] = ["Tyler", "José", "Ally", "Jasmin", "Omar", "Yuki", "Oluwaseun", "محمد", "Siobhán", "Jacob"];
const SURNAMES: [&str; 8] = ["Ortiz", "O'Connor", "Sweeney", "Christian", "Haddad", "Tanaka", "Okafor", "Berg"];
pub(crate) const PLANS: [&str; 4] = ["bronze", "silver", "gold", "free trial"];
pub(crate) const EVENTS: [&str; 5] =
    ["Cart Viewed", "Checkout Started", "Order Completed", "Product Added", "Coupon Applied"];
const PLACES: [&str; 4] = ["Austin, TX", "São Paulo, BR", "Berlin", "Kyoto"];
const WORDS: [&str; 16] = [
    "the", "delivery", "arrived", "two", "days", "late", "and", "support", "was", "kind", "I", "would", "order",
    "again", "from", "here",
];

/// The columns of the wide schema beside the first four: as many texts as numbers and flags.
const WIDE_COLUMNS: usize = 56;

/// Writes `rows` rows. About a hundredth of the cells with texts is quoted.
pub(crate) fn write(kind: &str, rows: u64, file: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    let mut dice = Dice::new(1);
    let row: fn(&mut Dice, u64) -> String = match kind {
        "track" => track,
        "identify" => identify,
        "object_rooms" => object,
        "track_wide" => wide,
        _ => bail!("{kind} is not track, identify, object_rooms or track_wide"),
    };
    writeln!(out, "{}", header(kind))?;
    for number in 0..rows {
        out.write_all(row(&mut dice, number).as_bytes())?;
    }
    out.flush()?;
    Ok(())
}

fn header(kind: &str) -> String {
    match kind {
        "track" => "userId,event,properties.plan,properties.revenue,properties.name,context.ip,\
                    context.device.advertisingId,timestamp"
            .to_owned(),
        "identify" => "userId,traits.name,traits.plan,traits.email,traits.createdAt,context.ip,timestamp".to_owned(),
        "object_rooms" => "id,name,location,review_count,price.amount,price.currency,available".to_owned(),
        _ => {
            let more = (0..WIDE_COLUMNS).map(|column| match column % 4 {
                0 => format!("properties.text_{column}"),
                1 => format!("properties.amount_{column}:number"),
                2 => format!("properties.flags.is_{column}:boolean"),
                _ => format!("properties.code_{column}"),
            });
            let first = ["userId", "event", "timestamp", "context.ip"].map(str::to_owned);
            first.into_iter().chain(more).collect::<Vec<_>>().join(",")
        }
    }
}

pub(crate) fn user(dice: &mut Dice, number: u64) -> String {
    format!("user_{number:09}_{:016x}", dice.bits())
}

pub(crate) fn name(dice: &mut Dice) -> String {
    format!("{} {}", dice.pick(&NAMES), dice.pick(&SURNAMES))
}

pub(crate) fn ip(dice: &mut Dice) -> String {
    format!("{}.{}.{}.{}", dice.below(224), dice.below(256), dice.below(256), dice.below(256))
}

pub(crate) fn time(dice: &mut Dice) -> String {
    let (day, hour, minute) = (1 + dice.below(28), dice.below(24), dice.below(60));
    format!("2019-05-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", dice.below(60), dice.below(1_000))
}

pub(crate) fn uuid(dice: &mut Dice) -> String {
    let (high, low) = (dice.bits(), dice.bits());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn track(dice: &mut Dice, number: u64) -> String {
    let (user, event, plan) = (user(dice, number), dice.pick(&EVENTS), dice.pick(&PLANS));
    let (revenue, cents) = (dice.below(1_000), dice.below(100));
    format!("{user},{event},{plan},{revenue}.{cents:02},{},{},{},{}\n", name(dice), ip(dice), uuid(dice), time(dice))
}

fn identify(dice: &mut Dice, number: u64) -> String {
    let (user, name, plan) = (user(dice, number), name(dice), dice.pick(&PLANS));
    format!("{user},{name},{plan},u{number}@example.com,{},{},{}\n", time(dice), ip(dice), time(dice))
}

fn object(dice: &mut Dice, number: u64) -> String {
    let (name, place, reviews) = (dice.pick(&NAMES), dice.pick(&PLACES), dice.below(5_000));
    let (amount, cents, currency) = (dice.below(1_000), dice.below(100), dice.pick(&["EUR", "USD"]));
    let available = dice.below(2) == 1;
    format!(
        "{number},\"Sunny Room, \"\"{name}\"\" wing\",\"{place}\",{reviews},{amount}.{cents:02},{currency},{available}\n"
    )
}

fn wide(dice: &mut Dice, number: u64) -> String {
    let mut row = format!("{},{},{},{}", user(dice, number), dice.pick(&EVENTS), time(dice), ip(dice));
    for column in 0..WIDE_COLUMNS {
        row.push(',');
        match column % 4 {
            0 => row.push_str(&text(dice)),
            1 => row.push_str(&format!("{}.{:02}", dice.below(10_000), dice.below(100))),
            2 => row.push_str(if dice.below(2) == 1 { "true" } else { "false" }),
            _ => row.push_str(&format!("{:06x}", dice.below(1 << 24))),
        }
    }
    row.push('\n');
    row
}

/// 10 to 50 words; a tenth of the texts has quotes, a comma and a second line.
fn text(dice: &mut Dice) -> String {
    let mut words: Vec<&str> = (0..10 + dice.below(41)).map(|_| dice.pick(&WORDS)).collect();
    if dice.below(10) == 0 {
        words.insert(5, "\"\"fine\"\",\n");
        return format!("\"{}\"", words.join(" "));
    }
    words.join(" ")
}
