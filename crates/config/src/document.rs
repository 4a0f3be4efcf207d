//! The shape of `segment-s3.toml`: every table and key, with its meaning. The JSON schema for editors and
//! `docs/configuration.md` are made of these declarations.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use protocol::mapping::{Decimal, IfBad, Side};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

pub(crate) use crate::reading::{MappingTable, ReadingTable};

/// `segment-s3.toml`: how files are read, and between which sources and buckets events go. The same document serves the
/// ingester, the exporter, the receiver and the command line.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Document {
    /// How files are read, unless a mapping says otherwise. Each key has a setting that means the same; the document wins.
    pub(crate) reading: ReadingTable,
    /// The Segment sources. Files are sent to those with a write key. Without any of these, the settings `WRITE_KEY` and
    /// `SOURCE_ID` describe the source, and the tables only give names to ids.
    pub(crate) source: Vec<SourceTable>,
    /// How the columns of a CSV file of another tool become calls. The first mapping that matches a key is used, before
    /// the names `track_….csv` and so on are looked at.
    pub(crate) mapping: Vec<MappingTable>,
    /// The buckets that the exporter writes to. Without any, the settings `DESTINATION_…` describe one.
    pub(crate) destination: Vec<DestinationTable>,
}

/// A Segment source.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SourceTable {
    /// Required. The source's name in this document, in reports and metrics: at most 64 characters.
    pub(crate) name: Option<String>,
    /// Required. The source's id (in Segment under Settings, API Keys). It is also the name of its folder in the logs.
    pub(crate) id: Option<String>,
    /// The source's write key, or better a reference to it: `env:NAME` for an environment variable, or the ARN of a secret
    /// in Secrets Manager. Required if files are sent to the source. The receiver accepts calls with it.
    pub(crate) write_key: Option<String>,
    /// The region of the workspace, `us` or `eu`. Default: the setting `SEGMENT_REGION`.
    pub(crate) region: Option<String>,
    /// The Tracking API, if it is not Segment's own.
    pub(crate) endpoint: Option<String>,
    /// The Objects API, if it is not Segment's own.
    pub(crate) objects_endpoint: Option<String>,
    /// Calls a second that all running ingesters together may send to this source; 0 is no limit. Default: the setting
    /// `WORKSPACE_EVENTS_PER_SECOND`.
    pub(crate) events_per_second: Option<u32>,
    /// Globs on whole keys, such as `eu/**`: files that are sent to this source. The first source that matches is used.
    /// Default: every key.
    #[cfg_attr(feature = "schema", schemars(with = "OneOrManyTexts"))]
    pub(crate) r#match: OneOrMany<String>,
}

/// A bucket that logs are written to.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DestinationTable {
    /// Required. The destination's name in plans, reports and alarms: at most 64 letters, digits, `.`, `_` and `-`.
    pub(crate) name: Option<String>,
    /// Required. The bucket's region, such as `eu-west-1`.
    pub(crate) region: Option<String>,
    /// Required. The bucket's name, with an optional `/path/prefix`. Objects are put below `segment-logs/` there.
    pub(crate) bucket: Option<String>,
    /// Required. The ARN of the role that may put objects into the bucket.
    pub(crate) role_arn: Option<String>,
    /// Required. The external id that the role's trust policy asks for, or a reference to it: `env:NAME`, or the ARN of a
    /// secret in Secrets Manager.
    pub(crate) external_id: Option<String>,
    /// How S3 encrypts the objects: `AES256` or `aws:kms`. Default: `aws:kms` with `kms_key_arn`; without it the encryption
    /// of the bucket. Some bucket policies ask for this header.
    pub(crate) sse: Option<String>,
    /// The ARN of the KMS key of `aws:kms`. Default: the key of the bucket.
    pub(crate) kms_key_arn: Option<String>,
    /// The storage class of the objects: `STANDARD`, `STANDARD_IA`, `ONEZONE_IA`, `INTELLIGENT_TIERING`, `GLACIER_IR`,
    /// `GLACIER` or `DEEP_ARCHIVE`. Default: `STANDARD`, as S3 has it.
    pub(crate) storage_class: Option<String>,
    /// A canned ACL for each object: `private`, `bucket-owner-full-control`, `bucket-owner-read` or `aws-exec-read`.
    pub(crate) acl: Option<String>,
    /// The account, in 12 digits, that must own the bucket. S3 refuses the objects otherwise. So they do not go to a
    /// stranger who takes the name of a deleted bucket. Default: the account of the role. `any`: the owner is not checked.
    pub(crate) expected_bucket_owner: Option<String>,
    /// Required. The ids or names of the sources whose events go there; `"*"` is every source.
    #[cfg_attr(feature = "schema", schemars(with = "OneOrManyTexts"))]
    pub(crate) sources: OneOrMany<String>,
    /// Bytes of JSON in one object, at most: from 1,000,000 to 1,000,000,000. Default: 100,000,000.
    pub(crate) batch_bytes_max: Option<u64>,
    /// The folders of the objects: `segment` (`{source}/{received day in ms}/`), or `hive` (`source={source}/day=2019-05-11/`),
    /// which Athena, Spark and DuckDB know as partitions. Default: `segment`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("enum" = ["segment", "hive"])))]
    pub(crate) layout: Option<String>,
    /// `true`: the exporter also puts manifests of the objects under `segment-logs/_manifests/`, and a mark for each day that
    /// is complete. Default: `false`.
    pub(crate) manifest: Option<bool>,
    /// `false`: the destination gets nothing new, and the events that are planned for it wait. Default: `true`.
    pub(crate) enabled: Option<bool>,
}

/// A field of the call, and the changes to each cell before it is sent, in the order of this table.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FieldTable {
    /// Required. The path of the field, written as in a header: `userId`, `traits.email`, `properties.products[].sku`. A
    /// colon stands before a type. For a name with a colon, write the type too: `traits.utm:source:string`.
    pub(crate) to: Option<String>,
    /// Other names of the column, for exports in which it has another name.
    pub(crate) names: Vec<String>,
    /// Whether the file may lack the column. Default: `false`.
    pub(crate) optional: bool,
    /// Cells that count as empty, in exactly these spellings. They count as empty in `where`, `message_id` and `group` too.
    pub(crate) nulls: Vec<String>,
    /// Characters to remove from both ends of the cell. `{ characters = "0", side = "left" }` removes them from one end.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Strip>"))]
    pub(crate) strip: Option<StripTable>,
    /// Whether white space is removed from both ends. Default: `false`.
    pub(crate) trim: bool,
    /// Whether letters become lower case. Default: `false`.
    pub(crate) lower: bool,
    /// A table of cells and what they become. A row with any other filled cell is refused, unless `else` is given.
    pub(crate) values: Option<BTreeMap<String, String>>,
    /// What a filled cell becomes if `values` does not have it.
    pub(crate) r#else: Option<String>,
    /// A separator at which the cell becomes a list.
    pub(crate) split: Option<String>,
    /// A text before each filled cell. For example, `erp-` keeps the ERP's customer 101 apart from the shop's.
    pub(crate) prefix: Option<String>,
    /// Whether the cell becomes the hexadecimal SHA-256 of itself. An empty cell stays empty. Default: `false`.
    pub(crate) sha256: bool,
    /// The type, as headers write it: `string`, `number`, `integer`, `boolean`, `json` or `timestamp`; or `date`, which
    /// keeps the day in every zone.
    pub(crate) r#type: Option<String>,
    /// How numbers are written: `point` or `.` (`1234.56`), `comma` or `,` (`1.234,56`). Default: as the mapping says.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("enum" = [".", ",", "point", "comma"])))]
    pub(crate) decimal: Option<DecimalWord>,
    /// What happens if a cell is refused: `refuse` refuses the row, `omit` sends the row without the cell and counts
    /// it. Default: `refuse`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("enum" = ["refuse", "omit"])))]
    pub(crate) if_bad: IfBad,
}

/// A condition on the cell of a column. If a table has several, all of them must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, expecting = "a table such as { is = \"…\" } or { filled = true }")]
pub(crate) struct FilterTable {
    /// The cell is this text, or one of these.
    #[cfg_attr(feature = "schema", schemars(with = "OneOrManyTexts"))]
    pub(crate) is: OneOrMany<String>,
    /// The cell is not this text, and not one of these.
    #[cfg_attr(feature = "schema", schemars(with = "OneOrManyTexts"))]
    pub(crate) not: OneOrMany<String>,
    /// `true`: the cell counts as empty. It has nothing but white space, or it is among `nulls`.
    pub(crate) empty: Option<bool>,
    /// `true`: the cell does not count as empty.
    pub(crate) filled: Option<bool>,
}

/// Characters to remove from the ends of a cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct StripTable {
    /// The characters.
    pub(crate) characters: String,
    /// At which end.
    pub(crate) side: Side,
}

/// `.` or `point`, `,` or `comma`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) enum DecimalWord {
    #[serde(rename = "point", alias = ".")]
    Point,
    #[serde(rename = "comma", alias = ",")]
    Comma,
}

impl From<DecimalWord> for Decimal {
    fn from(word: DecimalWord) -> Decimal {
        match word {
            DecimalWord::Point => Decimal::Point,
            DecimalWord::Comma => Decimal::Comma,
        }
    }
}

/// A value, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> OneOrMany<T> {
        OneOrMany(Vec::new())
    }
}

/// For the schema alone.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum OneOrManyTexts {
    One(String),
    Many(Vec<String>),
}

/// The fields that a column goes to: a path, a table, or a list of either.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<FieldTable>);

/// A table whose entries keep the order of the document.
#[derive(Clone, Debug)]
pub(crate) struct Ordered<T>(pub(crate) Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Ordered<T> {
        Ordered(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ordered<T>, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<'de> Deserialize<'de> for OneOrMany<String> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany<String>, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes, or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany<String>, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany<String>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

impl<'de> Deserialize<'de> for StripTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StripTable, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            characters: String,
            #[serde(default)]
            side: Side,
        }
        struct Strip;
        impl<'de> Visitor<'de> for Strip {
            type Value = StripTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes, or { characters = \"…\", side = \"left\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StripTable, E> {
                Ok(StripTable { characters: text.to_owned(), side: Side::Both })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StripTable, A::Error> {
                let Table { characters, side } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(StripTable { characters, side })
            }
        }
        deserializer.deserialize_any(Strip)
    }
}

/// A path, or a table.
struct OneField(FieldTable);

impl<'de> Deserialize<'de> for OneField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneField, D::Error> {
        struct Path;
        impl<'de> Visitor<'de> for Path {
            type Value = OneField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path in quotes, or a table such as { to = \"traits.email\", lower = true }")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<OneField, E> {
                Ok(OneField(FieldTable { to: Some(path.to_owned()), ..FieldTable::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneField, A::Error> {
                FieldTable::deserialize(MapAccessDeserializer::new(map)).map(OneField)
            }
        }
        deserializer.deserialize_any(Path)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct Paths;
        impl<'de> Visitor<'de> for Paths {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a path in quotes, a table such as { to = \"traits.email\", lower = true }, or a list of these",
                )
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<Fields, E> {
                Ok(Fields(vec![FieldTable { to: Some(path.to_owned()), ..FieldTable::default() }]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields, A::Error> {
                Ok(Fields(vec![FieldTable::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Fields, A::Error> {
                let mut all = Vec::new();
                while let Some(OneField(field)) = items.next_element()? {
                    all.push(field);
                }
                Ok(Fields(all))
            }
        }
        deserializer.deserialize_any(Paths)
    }
}
