//! The JSON around the cells: paths become a tree, the tree becomes a list of pieces to be written
//! one after the other.

use std::collections::HashMap;

use crate::json;
use crate::kind::{Api, Kind};
use crate::reading::EmptyCells;

use super::{CellType, Column, Roles, words};

/// One step in writing a call. Every member is followed by a comma; the end of an object or array
/// replaces the last one, or takes the whole thing back when nothing was written in it.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Members that are the same in every call.
    Text(Box<[u8]>),
    /// The beginning of an object or array, with its key.
    Open(Box<[u8]>),
    /// Its end.
    Close {
        /// How long the matching [`Piece::Open`] is.
        opened: usize,
        /// `}` or `]`.
        bracket: u8,
    },
    /// Behind the beginning of an array by index.
    Array,
    /// Behind each of its elements: one that wrote nothing still has its place, if others follow.
    Element,
    /// Before its end.
    ArrayEnd,
    /// A cell.
    Cell(Slot),
    /// A whole `context` in one cell, which our `library` is added to.
    Context(Slot),
}

/// Where and how a column's cells are written.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) column: usize,
    /// `"plan":"` for what is written as a string, `"plan":` for the rest; without a name in arrays.
    pub(crate) key: Box<[u8]>,
    pub(crate) cell: CellType,
    pub(crate) empty: EmptyCells,
    /// Whether blanks alone count as empty, as they do in an event.
    pub(crate) blank_is_empty: bool,
    /// Whether the cell is an id.
    pub(crate) is_id: bool,
    /// Whether the cell is called an email address.
    pub(crate) is_email: bool,
}

impl Slot {
    /// A slot that has a type alone, to see whether a cell is of it.
    pub(crate) fn of_type(cell: CellType) -> Slot {
        let (key, empty) = (Box::default(), EmptyCells::Omit);
        Slot { column: 0, key, cell, empty, blank_is_empty: false, is_id: false, is_email: false }
    }

    /// The key for a value that is no string, whatever the column is.
    pub(crate) fn bare_key(&self) -> &[u8] {
        self.key.strip_suffix(b"\"").unwrap_or(&self.key)
    }
}

/// A column that does not fit to another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Conflict {
    /// The same path twice.
    Same(usize),
    /// A value here, an object or array there.
    Shape(usize),
}

impl Conflict {
    pub(super) fn with(self) -> usize {
        match self {
            Conflict::Same(column) | Conflict::Shape(column) => column,
        }
    }
}

#[derive(Debug)]
enum Node {
    Cell(usize),
    /// `tags[]`, repeated.
    List(Vec<usize>),
    Branch(Branch),
    /// Members that are the same in every call, with their key.
    Text(String),
}

impl Node {
    /// A column to name when this is in the way of another.
    fn first_column(&self) -> usize {
        match self {
            Node::Cell(column) => *column,
            Node::List(columns) => columns.first().copied().unwrap_or(0),
            Node::Branch(branch) => branch.children.first().map_or(0, |(_, node)| node.first_column()),
            Node::Text(_) => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Branch {
    /// In the order of the header.
    children: Vec<(String, Node)>,
    index: HashMap<String, usize>,
}

impl Branch {
    fn get(&mut self, name: &str) -> Option<&mut Node> {
        let at = *self.index.get(name)?;
        self.children.get_mut(at).map(|(_, node)| node)
    }

    fn add(&mut self, name: &str, node: Node) {
        self.index.insert(name.to_owned(), self.children.len());
        self.children.push((name.to_owned(), node));
    }

    /// The numbers that are this branch's names, if all of them are.
    fn numbers(&self) -> Option<Vec<usize>> {
        self.children
            .iter()
            .map(|(name, _)| {
                let number: usize = name.parse().ok()?;
                (number.to_string() == *name).then_some(number)
            })
            .collect()
    }
}

/// All paths of a header.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Branch,
    /// How often each `tags[]` of an object file has been seen.
    repeats: HashMap<String, usize>,
}

/// A tree, written out.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    pub(super) pieces: Vec<Piece>,
    /// Where each column's cells go, for people.
    pub(super) paths: Vec<(usize, String)>,
    /// Columns of would-be arrays with gaps.
    pub(super) gaps: Vec<usize>,
}

/// Takes `[]` off the end of a path. Objects have flat names, so theirs are numbered instead.
pub(super) fn list_path<'a>(parts: &[&'a str], kind: Kind) -> (Vec<&'a str>, bool) {
    let mut path = parts.to_vec();
    if kind.api() == Api::Tracking
        && let Some(last) = path.last_mut()
        && let Some(stem) = last.strip_suffix("[]")
        && !stem.is_empty()
    {
        *last = stem;
        return (path, true);
    }
    (path, false)
}

impl Tree {
    pub(super) fn has(&self, name: &str) -> bool {
        self.root.index.contains_key(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.children.is_empty()
    }

    /// How often `name` came before.
    pub(super) fn repeated(&mut self, name: &str) -> usize {
        let count = self.repeats.entry(name.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    pub(super) fn insert(&mut self, path: &[&str], list: bool, column: usize) -> Result<(), Conflict> {
        let Some((last, above)) = path.split_last() else {
            return Ok(());
        };
        let mut branch = &mut self.root;
        for part in above {
            if branch.get(part).is_none() {
                branch.add(part, Node::Branch(Branch::default()));
            }
            branch = match branch.get(part) {
                Some(Node::Branch(below)) => below,
                Some(other) => return Err(Conflict::Shape(other.first_column())),
                None => return Ok(()),
            };
        }
        match (branch.get(last), list) {
            (None, false) => branch.add(last, Node::Cell(column)),
            (None, true) => branch.add(last, Node::List(vec![column])),
            (Some(Node::List(columns)), true) => columns.push(column),
            (Some(Node::Cell(other)), false) => return Err(Conflict::Same(*other)),
            (Some(other), _) => return Err(Conflict::Shape(other.first_column())),
        }
        Ok(())
    }

    /// Says in `context.library` that we made the call, as every Segment library does, unless
    /// columns of the file say it.
    pub(super) fn add_library(&mut self) {
        if self.root.get("context").is_none() {
            self.root.add("context", Node::Branch(Branch::default()));
        }
        if let Some(Node::Branch(context)) = self.root.get("context")
            && context.get("library").is_none()
        {
            let library = Node::Text(json::library_member());
            context.children.insert(0, ("library".to_owned(), library));
        }
    }

    pub(super) fn emit(&self, columns: &[Column], empties: &[EmptyCells], roles: &Roles) -> Emitted {
        let mut emitter = Emitter { columns, empties, roles, out: Emitted::default() };
        // An object's id stands before its properties, wherever its column does.
        let (ids, others): (Vec<_>, Vec<_>) =
            self.root.children.iter().partition(|(_, node)| roles.object_id == Some(node.first_column()));
        for (name, node) in ids.into_iter().chain(others) {
            let at = Place { key: json::key(name), path: name.clone(), depth: 1 };
            emitter.node(node, &at);
        }
        emitter.out
    }
}

/// Where a node stands.
struct Place {
    /// `"name":`, or nothing in arrays.
    key: String,
    path: String,
    depth: usize,
}

struct Emitter<'a> {
    columns: &'a [Column],
    empties: &'a [EmptyCells],
    roles: &'a Roles,
    out: Emitted,
}

impl Emitter<'_> {
    fn node(&mut self, node: &Node, at: &Place) {
        match node {
            Node::Text(text) => self.out.pieces.push(Piece::Text(text.clone().into_bytes().into())),
            Node::Cell(column) => self.cell(*column, at),
            Node::List(columns) => {
                let opened = self.open(at, b'[');
                for (index, column) in columns.iter().enumerate() {
                    self.cell(*column, &at.element(index));
                }
                self.close(opened, b']');
            }
            Node::Branch(branch) => self.branch(branch, at),
        }
    }

    fn branch(&mut self, branch: &Branch, at: &Place) {
        // `properties`, `traits` and the like are objects whatever their members are named.
        let may_be_array = at.depth > 1 && at.path != "context.traits";
        let numbers = branch.numbers().filter(|_| may_be_array);
        if let Some(numbers) = &numbers {
            let mut order: Vec<(usize, &Node)> =
                numbers.iter().zip(&branch.children).map(|(number, (_, node))| (*number, node)).collect();
            order.sort_by_key(|(number, _)| *number);
            if order.iter().enumerate().all(|(index, (number, _))| index == *number) {
                let opened = self.open(at, b'[');
                self.out.pieces.push(Piece::Array);
                for (index, node) in order {
                    self.node(node, &at.element(index));
                    self.out.pieces.push(Piece::Element);
                }
                self.out.pieces.push(Piece::ArrayEnd);
                self.close(opened, b']');
                return;
            }
            if let Some((_, first)) = order.first() {
                self.out.gaps.push(first.first_column());
            }
        }
        let opened = self.open(at, b'{');
        for (name, node) in &branch.children {
            self.node(node, &at.member(name));
        }
        self.close(opened, b'}');
    }

    fn open(&mut self, at: &Place, bracket: u8) -> usize {
        let mut text = at.key.clone().into_bytes();
        text.push(bracket);
        let opened = text.len();
        self.out.pieces.push(Piece::Open(text.into()));
        opened
    }

    fn close(&mut self, opened: usize, bracket: u8) {
        self.out.pieces.push(Piece::Close { opened, bracket });
    }

    fn cell(&mut self, column: usize, at: &Place) {
        self.out.paths.push((column, at.path.clone()));
        let apart = [self.roles.timestamp, self.roles.message_id];
        if apart.contains(&Some(column)) {
            // Both are written at the beginning of the call.
            return;
        }
        let cell = self.columns.get(column).map_or(CellType::String, |c| c.cell);
        let mut key = at.key.clone().into_bytes();
        if cell.is_quoted() {
            key.push(b'"');
        }
        let last = at.path.rsplit('.').next().unwrap_or_default();
        let slot = Slot {
            column,
            key: key.into(),
            cell,
            empty: self.empties.get(column).copied().unwrap_or_default(),
            blank_is_empty: self.roles.titles.contains(&column),
            is_id: self.roles.ids.contains(&column),
            is_email: words::is_email(last),
        };
        self.out.pieces.push(if at.path == "context" { Piece::Context(slot) } else { Piece::Cell(slot) });
    }
}

impl Place {
    fn member(&self, name: &str) -> Place {
        Place { key: json::key(name), path: format!("{}.{name}", self.path), depth: self.depth + 1 }
    }

    fn element(&self, index: usize) -> Place {
        Place { key: String::new(), path: format!("{}[{index}]", self.path), depth: self.depth + 1 }
    }
}
