//! A place in a document, for faults.

use std::cell::RefCell;

use crate::fault::{Fault, Step};
use crate::near;
use crate::tree::Tree;

/// A place in the document, for faults.
#[derive(Clone)]
pub(crate) struct At<'a> {
    tree: &'a Tree<'a>,
    faults: &'a RefCell<Vec<Fault>>,
    path: Vec<Step>,
}

impl<'a> At<'a> {
    /// The document as a whole. Faults go to `faults`.
    pub(crate) fn root(tree: &'a Tree<'a>, faults: &'a RefCell<Vec<Fault>>) -> At<'a> {
        At { tree, faults, path: Vec::new() }
    }
}

impl At<'_> {
    /// The value of a key.
    pub(crate) fn field(&self, name: &str) -> Self {
        self.step(Step::Key(name.to_owned()))
    }

    /// An item of a list.
    pub(crate) fn item(&self, index: usize) -> Self {
        self.step(Step::Item(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Self { path, ..self.clone() }
    }

    /// Notes a fault here. `what` must not have the value.
    pub(crate) fn fault(&self, what: impl Into<String>) {
        let fault = self.tree.fault(&self.path, what.into());
        self.faults.borrow_mut().push(fault);
    }

    /// The text of a key that must be there; a fault if it is not.
    pub(crate) fn required<'t>(&self, name: &str, value: Option<&'t str>, purpose: &str) -> Option<&'t str> {
        let value = value.map(str::trim).filter(|value| !value.is_empty());
        // A value of another kind has a fault already.
        if value.is_none() && !self.has_fault_at(name) {
            self.fault(format!("has no `{name}`; it is {purpose}"));
        }
        value
    }

    /// Whether a key of this table has a fault, or a value below it.
    pub(crate) fn has_fault_at(&self, name: &str) -> bool {
        self.field(name).has_fault()
    }

    /// Whether there is a fault here or below.
    pub(crate) fn has_fault(&self) -> bool {
        self.faults.borrow().iter().any(|fault| fault.is_within(&self.path))
    }

    /// The place of an item of this list, by its text.
    pub(crate) fn item_with(&self, text: &str) -> Self {
        self.tree.position(&self.path, text).map_or_else(|| self.clone(), |index| self.item(index))
    }

    /// A fault for an unknown word, with the nearest known word.
    pub(crate) fn unknown(&self, written: &str, known: &[&str]) {
        let known_words = near::list(known);
        match near::of(written, known) {
            Some(near) => self.fault(format!("is not known; is `{near}` meant? Write {known_words}")),
            None => self.fault(format!("is not known; write {known_words}")),
        }
    }
}
