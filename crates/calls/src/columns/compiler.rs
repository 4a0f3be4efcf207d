//! The compiler of headers: one column after the other into the tree, then the tree into pieces.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;

use protocol::mapping::Decimal;
use sha2::{Digest, Sha256};

use crate::ids::Names;
use crate::kind::{self, Api, Kind, TextField, TextSort};
use crate::reading::{EmptyCells, Reading, UnknownColumns};
use crate::refusal::{FaultCode, FileFault};

use super::doubts::Doubts;
use super::fields::{self, Field};
use super::heading::{Heading, Mapped};
use super::snake;
use super::tree::{self, Conflict, Piece, Tree};
use super::words;
use super::{
    CellType, Column, ColumnPlan, ListPlan, PATH_PARTS_MAX, REJECT_COLUMNS, RequiredCell, Roles, TypeEntry, TypeWord,
};

/// The name under which a list of plain values stands in its tree. No part of a path is empty.
const VALUES: &str = "";

pub(super) struct Compiler<'a> {
    kind: Kind,
    reading: &'a Reading,
    columns: Vec<Column>,
    /// What an empty cell of each column becomes.
    empties: Vec<EmptyCells>,
    roles: Roles,
    /// The text fields, with their columns.
    texts: Vec<(TextField, usize)>,
    tree: Tree,
    doubts: Doubts,
    /// How many columns with data have a field of Segment's, and the paths of those that have none.
    arriving: usize,
    unknown: Vec<String>,
    /// How many of those are columns that a mapping does not name.
    unknown_rest: usize,
    /// The column that the last one contradicts.
    contradicted: Cell<Option<usize>>,
    /// Whether it has been said what a dot below `integrations` means.
    dots_warned: bool,
    /// What else decides what a row becomes.
    pub(super) basis: String,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(kind: Kind, reading: &'a Reading, columns: usize) -> Compiler<'a> {
        Compiler {
            kind,
            reading,
            columns: Vec::with_capacity(columns),
            empties: Vec::with_capacity(columns),
            roles: Roles::default(),
            texts: Vec::new(),
            tree: Tree::default(),
            doubts: Doubts::default(),
            arriving: 0,
            unknown: Vec::new(),
            unknown_rest: 0,
            contradicted: Cell::new(None),
            dots_warned: false,
            basis: String::new(),
        }
    }

    pub(super) fn add(&mut self, heading: &Heading<'_>) -> Result<(), FileFault> {
        if let Some((word, named)) = heading.meant_type() {
            self.warn(heading, format_args!("`:{word}` is no type, so it belongs to the name; is `:{named}` meant?"));
        }
        if let Some(hidden) = heading.hidden() {
            self.warn(heading, hidden);
        }
        if heading.full.is_empty() {
            self.doubts.nameless.push(self.columns.len() + 1);
            self.leave_out(heading);
            Ok(())
        } else if REJECT_COLUMNS.contains(&heading.full) {
            self.leave_out(heading);
            Ok(())
        } else {
            match self.kind.api() {
                Api::Tracking => self.add_to_call(heading),
                Api::Objects => self.add_to_object(heading),
            }
        }
    }

    /// An object's column: `id`, or a flat property under a name as Segment's own library makes it.
    fn add_to_object(&mut self, heading: &Heading<'_>) -> Result<(), FileFault> {
        if heading.name == "id" {
            only_text(heading)?;
            return self.place(heading, &["id"], CellType::String, EmptyCells::Omit);
        }
        if let Some(TypeEntry { nests: true, word: Some(TypeWord { word, .. }), .. }) =
            heading.named.map(CellType::entry)
        {
            return Err(heading.fault(format_args!(
                "the Objects API takes no lists and no objects, so `:{word}` cannot be sent: write one column for each value"
            )));
        }
        let mut name = snake::snake_case(heading.name);
        if name.is_empty() {
            return Err(heading.fault("no letter or digit in it, so no property can be named by it"));
        }
        if heading.name.ends_with("[]") {
            let repeated = self.tree.repeated(&name);
            let _ = write!(name, "_{repeated}");
        }
        let cell = heading.named.unwrap_or_else(|| self.default_type(heading, true));
        self.place(heading, &["properties", &name], cell, self.reading.empty_cells)
    }

    /// A column of a call of the Tracking API.
    fn add_to_call(&mut self, heading: &Heading<'_>) -> Result<(), FileFault> {
        let mut parts: Vec<&str> = match heading.mapped {
            Some(Mapped::Key(container, key)) => vec![container, key],
            _ => heading.name.split('.').collect(),
        };
        if parts.iter().any(|part| part.is_empty()) && !matches!(heading.mapped, Some(Mapped::Key(..))) {
            parts = vec![heading.name];
        }
        if parts.len() > PATH_PARTS_MAX {
            return Err(
                heading.fault(format_args!("{} parts in its path, at most {PATH_PARTS_MAX} can be read", parts.len()))
            );
        }
        if let ["integrations", _, last] = parts[..]
            && last.eq_ignore_ascii_case("io")
            && let Some((_, destination)) = heading.name.split_once('.')
        {
            // Destinations are called so: Customer.io, Chartbeat.io.
            parts = vec!["integrations", destination];
        }
        if parts[0] == "integrations" && parts.len() > 2 && heading.named.is_none() && !self.dots_warned {
            self.dots_warned = true;
            self.warn(
                heading,
                "sets an option of a destination, and does not disable it; destinations with a dot in their name need `integrations:json`",
            );
        }
        let whole = parts.len() == 1;
        // A list of one of Segment's own fields would be that field under another type, or twice.
        let listed = parts[0].strip_suffix("[]").filter(|_| whole);
        let field = fields::field(self.kind, listed.unwrap_or(parts[0]));
        if let Some(stem) = listed
            && !matches!(field, Field::Unknown | Field::Ours)
        {
            return Err(heading.fault(format_args!("`{stem}` is one of Segment's own fields and takes no list")));
        }
        match (field, whole) {
            (Field::Ours, _) => {
                self.warn(heading, "not sent: Segment, or the file's name, says what stands there");
                self.leave_out(heading);
                Ok(())
            }
            (Field::Text, true) => {
                only_text(heading)?;
                self.place(heading, &parts, CellType::String, EmptyCells::Omit)
            }
            (Field::Timestamp, true) => {
                if !matches!(heading.named, None | Some(CellType::Timestamp)) {
                    return Err(heading.fault(if heading.mapped.is_some() {
                        "always a timestamp: it takes neither another type nor `split`, and a constant stands in quotes"
                    } else {
                        "always a timestamp: leave its type out"
                    }));
                }
                self.place(heading, &parts, CellType::Timestamp, EmptyCells::Omit)
            }
            (Field::Text | Field::Timestamp, false) => {
                Err(heading.fault(format_args!("`{}` takes a value, so nothing can stand below it", parts[0])))
            }
            (Field::Container { known }, whole) => {
                // A header of Segment's fields is taken at its word, since the walkthrough sends such columns.
                if known || heading.mapped.is_none() {
                    self.arriving += 1;
                } else {
                    self.note_unknown(heading);
                }
                if !known {
                    self.warn_unknown(heading);
                }
                if whole && heading.named != Some(CellType::Json) {
                    return Err(heading.fault(format_args!(
                        "`{0}` is an object: write one column for each of its values as `{0}.<name>`, or `{0}:json` for cells that hold whole objects",
                        parts[0]
                    )));
                }
                let cell = if whole { CellType::Object } else { self.cell_type(heading, &parts) };
                let empty = match parts[0] {
                    "integrations" => EmptyCells::Omit,
                    _ if whole => EmptyCells::Omit,
                    _ => self.reading.empty_cells,
                };
                self.place(heading, &parts, cell, empty)
            }
            (Field::Unknown, _) => {
                self.note_unknown(heading);
                if whole && heading.name.contains('.') {
                    self.warn(heading, "a part of its path is empty, so it is sent as one key");
                } else {
                    self.warn_unknown(heading);
                }
                let cell = self.cell_type(heading, &parts);
                self.place(heading, &parts, cell, self.reading.empty_cells)
            }
        }
    }

    /// The type of the cells at a path that says none.
    pub(super) fn type_at(&self, path: &str) -> CellType {
        let heading = Heading { full: path, name: path, named: None, mapped: Some(Mapped::Path) };
        let parts: Vec<&str> = path.split('.').collect();
        match (self.kind.api(), fields::field(self.kind, parts[0])) {
            (Api::Objects, _) if path == "id" => CellType::String,
            (Api::Objects, _) => self.default_type(&heading, true),
            (Api::Tracking, Field::Text) => CellType::String,
            (Api::Tracking, Field::Timestamp) => CellType::Timestamp,
            (Api::Tracking, _) => self.cell_type(&heading, &parts),
        }
    }

    fn cell_type(&self, heading: &Heading<'_>, parts: &[&str]) -> CellType {
        if let Some(named) = heading.named {
            return named;
        }
        if parts[0] == "integrations" && parts.len() == 2 {
            return CellType::Switch;
        }
        self.default_type(heading, kind::is_values(parts[0]))
    }

    /// A column of the elements of a list. It has no place of its own in the call.
    pub(super) fn add_to_list(&mut self, heading: &Heading<'_>, list: &mut Tree, path: &str) -> Result<(), FileFault> {
        let cell = heading.named.unwrap_or_else(|| self.default_type(heading, true));
        let column = self.columns.len();
        let parts: Vec<&str> = if path.is_empty() { vec![VALUES] } else { path.split('.').collect() };
        let is_bad = |part: &&str| part.contains("[]") || (part.is_empty() && !path.is_empty());
        if parts.len() > PATH_PARTS_MAX || parts.iter().any(is_bad) {
            return Err(heading.fault(format_args!("`{}` is no path below a list", heading.name)));
        }
        if !list.is_empty() && list.has(VALUES) != path.is_empty() {
            return Err(heading.fault(format_args!(
                "`{}` contradicts another path: the elements of a list are either values or objects",
                heading.name
            )));
        }
        self.columns.push(Column { name: heading.full.to_owned(), path: None, cell });
        self.empties.push(if path.is_empty() { EmptyCells::Omit } else { self.reading.empty_cells });
        list.insert(&parts, path.is_empty(), column).map_err(|conflict| self.conflict(heading, conflict))
    }

    /// What writes an element of a list.
    pub(super) fn list_plan(&self, list: &Tree) -> ListPlan {
        let is_object = !list.has(VALUES);
        let mut pieces = list.emit(&self.columns, &self.empties, &Roles::default()).pieces;
        if !is_object {
            // Each cell is an element itself.
            pieces.retain(|piece| matches!(piece, Piece::Cell(_)));
        }
        ListPlan { pieces, is_object }
    }

    /// The type of a column whose name says none.
    fn default_type(&self, heading: &Heading<'_>, inferable: bool) -> CellType {
        let last = heading.last();
        let configured = &self.reading.timestamp_columns;
        if matches!(last, "timestamp" | "createdAt")
            || configured.iter().any(|name| name == heading.name || name == last)
        {
            CellType::Timestamp
        } else if inferable && self.reading.infer_types && !words::is_id_or_name(last) {
            let has_comma = self.reading.mapping.as_ref().is_some_and(|mapping| mapping.decimal == Decimal::Comma);
            if has_comma { CellType::InferredComma } else { CellType::Inferred }
        } else {
            CellType::String
        }
    }

    pub(super) fn leave_out(&mut self, heading: &Heading<'_>) {
        self.columns.push(Column {
            name: heading.full.to_owned(),
            path: None,
            cell: heading.named.unwrap_or(CellType::String),
        });
        self.empties.push(EmptyCells::Omit);
    }

    fn place(
        &mut self,
        heading: &Heading<'_>,
        parts: &[&str],
        cell: CellType,
        empty: EmptyCells,
    ) -> Result<(), FileFault> {
        let column = self.columns.len();
        if let [name] = parts {
            self.take_role(name, column);
        }
        let is_key = matches!(heading.mapped, Some(Mapped::Key(..)));
        let (path, list) = if is_key { (parts.to_vec(), false) } else { tree::list_path(parts, self.kind) };
        if !is_key && path.iter().any(|part| part.contains("[]")) {
            return Err(
                heading.fault("`[]` can only stand at the end of a name: write `products.0.id` for arrays of objects")
            );
        }
        self.columns.push(Column { name: heading.full.to_owned(), path: None, cell });
        self.empties.push(empty);
        self.tree.insert(&path, list, column).map_err(|conflict| self.conflict(heading, conflict))
    }

    /// Notes a column that rules about whole rows look at.
    fn take_role(&mut self, name: &str, column: usize) {
        let roles = &mut self.roles;
        if let Some(text) = self.kind.text_field(name) {
            match text.sort {
                TextSort::Id => roles.ids.push(column),
                TextSort::Title => roles.titles.push(column),
                TextSort::Plain => {}
            }
            self.texts.push((text, column));
        }
        match name {
            "messageId" => roles.message_id = Some(column),
            "timestamp" => roles.timestamp = Some(column),
            "id" if self.kind.api() == Api::Objects => roles.object_id = Some(column),
            _ => {}
        }
    }

    /// What each row must have, by the columns of this header.
    fn required(&self) -> Vec<RequiredCell> {
        let column_of = |name: &&str| self.texts.iter().find(|(text, _)| text.name == *name);
        let required = self.kind.entry().required.iter().filter_map(|required| {
            let mut found = required.any_of.iter().filter_map(column_of);
            let (text, column) = found.next()?;
            let others = found.map(|(_, column)| *column).collect();
            Some(RequiredCell { code: required.code, is_id: text.sort == TextSort::Id, column: *column, others })
        });
        required.collect()
    }

    /// The column that the last one contradicts, if it does.
    pub(super) fn contradicted(&self) -> Option<usize> {
        self.contradicted.get()
    }

    fn conflict(&self, heading: &Heading<'_>, conflict: Conflict) -> FileFault {
        self.contradicted.set(Some(conflict.with()));
        let (here, there) = (self.columns.len(), conflict.with() + 1);
        let other = self.columns.get(conflict.with()).map_or("", |column| column.name.as_str());
        match conflict {
            _ if heading.mapped.is_some() => FileFault::new(
                FaultCode::ColumnConflict,
                format!(
                    "`{other}` and `{}` cannot both go to `{}`: change one of the paths",
                    heading.full,
                    heading.path()
                ),
            ),
            Conflict::Same(_) if other == heading.full => FileFault::new(
                FaultCode::DuplicateColumn,
                format!(
                    "columns {there} and {here} are both named `{other}`: rename one, or write `{other}[]` twice for an array"
                ),
            ),
            Conflict::Same(_) => FileFault::new(
                FaultCode::DuplicateColumn,
                format!(
                    "columns {there} (`{other}`) and {here} (`{}`) are the same field: rename or remove one",
                    heading.full
                ),
            ),
            Conflict::Shape(_) => FileFault::new(
                FaultCode::ColumnConflict,
                format!(
                    "columns {there} (`{other}`) and {here} (`{}`) contradict each other: the same field cannot be a value and an object or array",
                    heading.full
                ),
            ),
        }
    }

    fn warn(&mut self, heading: &Heading<'_>, what: impl fmt::Display) {
        self.doubts.add(heading.full, &what.to_string());
    }

    /// Counts a column with data that Segment has no field for.
    fn note_unknown(&mut self, heading: &Heading<'_>) {
        self.unknown.push(heading.path());
        self.unknown_rest += usize::from(matches!(heading.mapped, Some(Mapped::Key(..))));
    }

    fn warn_unknown(&mut self, heading: &Heading<'_>) {
        let (kind, advice) = (self.kind, fields::advice(self.kind, heading.name));
        self.warn(
            heading,
            format_args!("no field of Segment's on {kind} calls, sent at the top of each call; {advice}"),
        );
    }

    /// Warns of columns that warehouses take for one: Segment names columns there in small letters, with `_` between words.
    fn warn_of_cases(&mut self) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (index, column) in self.columns.iter().enumerate() {
            let Some(path) = &column.path else { continue };
            let Some(other) = seen.insert(snake::snake_case(path), index) else { continue };
            let other = &self.columns[other];
            if let Some(other_path) = other.path.as_ref().filter(|other| *other != path) {
                let same_letters = other_path.to_lowercase() == path.to_lowercase();
                let what = if same_letters { "capitals" } else { "capitals and signs" };
                let what = format!(
                    "differs from column `{}` in {what} alone; a warehouse stores both in one column; rename one",
                    other.name
                );
                self.doubts.add(&column.name, &what);
            }
        }
    }

    /// Refuses a file of which nothing of use would arrive.
    fn check_arrival(&self) -> Result<(), FileFault> {
        let Some(name) = self.unknown.first() else { return Ok(()) };
        if self.arriving > 0 || self.reading.unknown_columns == UnknownColumns::Top {
            return Ok(());
        }
        let kind = self.kind;
        let which = match self.unknown.len() {
            1 => format!("the only column with data, `{name}`, ends"),
            number => format!("all {number} columns with data (`{name}` is the first) end"),
        };
        let fix = match kind.entry().values {
            Some(values) if self.unknown_rest == self.unknown.len() => format!("set `rest = \"{values}\"`"),
            _ if self.reading.mapping.is_some() => fields::meant(kind, name),
            _ => format!("{}, in the header or in a mapping", fields::meant(kind, name)),
        };
        Err(FileFault::new(
            FaultCode::NothingArrives,
            format!(
                "{which} at the top of the {kind} call, where Segment has no such field, so nothing of use would arrive: {fix}, or set UNKNOWN_COLUMNS=top to send it so"
            ),
        ))
    }

    pub(super) fn finish(mut self) -> Result<ColumnPlan, FileFault> {
        let is_object = self.kind.api() == Api::Objects;
        if is_object && !self.tree.has("properties") {
            return Err(FileFault::new(
                FaultCode::MissingColumn,
                "no column besides `id`: an object has at least one property",
            ));
        }
        self.check_arrival()?;
        if !is_object {
            self.tree.add_library();
        }
        let emitted = self.tree.emit(&self.columns, &self.empties, &self.roles);
        for (column, path) in emitted.paths {
            self.columns[column].path = Some(path);
        }
        self.warn_of_cases();
        for column in emitted.gaps {
            self.doubts.add(
                &self.columns[column].name,
                "sent as an object with numbers for names; an array begins with `.0` and leaves no number out",
            );
        }
        let fingerprint = fingerprint(self.kind, &emitted.pieces, self.reading, &self.basis);
        let own_columns = match self.columns.len().checked_sub(REJECT_COLUMNS.len()) {
            Some(own) if self.columns[own..].iter().map(|column| column.name.as_str()).eq(REJECT_COLUMNS) => own,
            _ => self.columns.len(),
        };
        self.roles.required = self.required();
        Ok(ColumnPlan {
            kind: self.kind,
            own_columns,
            first_is_id: self.roles.ids.contains(&0),
            names: Names::new(self.columns.iter().map(|column| column.name.as_str())),
            source_columns: self.columns.len(),
            sources: Vec::new(),
            omits: Vec::new(),
            made: Vec::new(),
            singles: Vec::new(),
            lists: Vec::new(),
            columns: self.columns,
            roles: self.roles,
            pieces: emitted.pieces,
            warnings: self.doubts.warnings(),
            fingerprint,
        })
    }
}

/// Ids and names are strings to Segment, whatever they look like.
fn only_text(heading: &Heading<'_>) -> Result<(), FileFault> {
    match heading.named {
        None | Some(CellType::String) => Ok(()),
        Some(_) if heading.mapped.is_some() => {
            Err(heading.fault("always a string: it takes neither a type nor `split`, and a constant stands in quotes"))
        }
        Some(_) => Err(heading.fault("always a string: leave its type out")),
    }
}

/// A digest of everything that decides what a row becomes.
fn fingerprint(kind: Kind, pieces: &[Piece], reading: &Reading, basis: &str) -> String {
    let Reading { timestamp_formats, timestamp_zone, nulls, id_nulls, .. } = reading;
    let text = format!("{kind} {pieces:?} {timestamp_formats:?} {timestamp_zone:?} {nulls:?} {id_nulls:?}{basis}");
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}
