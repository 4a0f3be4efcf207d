//! A document that is checked, as plain data.

use std::cell::RefCell;

use calls::subject::is_rejects_of;
use export::routes::{Routes, Source as NamedSource};
use protocol::reading::Reading;

use crate::at::At;
use crate::document::Document;
use crate::fault::Fault;
use crate::mapping::MappingRule;
use crate::source::{Secret, Source, source};
use crate::tree::Tree;
use crate::{destination, mapping};

/// The configuration: everything beyond the simple case.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How files are read, unless a mapping says otherwise.
    pub reading: Reading,
    /// The sources, in the order of the document.
    pub sources: Vec<Source>,
    /// The mappings, in the order of the document.
    pub mappings: Vec<MappingRule>,
    /// The destinations of the logs.
    pub routes: Routes,
    /// What is doubtful in the document, and still used as it says.
    pub warnings: Vec<Fault>,
}

/// How one file is read, and where its calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForKey<'a> {
    /// How it is read: by a mapping, or by the names of its columns.
    pub reading: &'a Reading,
    /// The index of its source, which has a write key; `None` if the settings describe the source.
    pub source: Option<usize>,
}

impl ForKey<'_> {
    /// The name of the mapping; empty without one.
    #[must_use]
    pub fn mapping_name(&self) -> &str {
        self.reading.mapping.as_ref().map_or("", |mapping| &mapping.name)
    }
}

/// Why no file can be read under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoMatch {
    /// No source takes the key.
    Source,
}

impl Config {
    /// Reads a document. `base` is the reading that the environment describes.
    ///
    /// # Errors
    /// Every fault, with line and column. A fault quotes names and paths of the document, and no other value.
    pub fn parse(text: &str, base: &Reading) -> Result<Config, Vec<Fault>> {
        let tree = Tree::parse(text)?;
        let mut shape = Vec::new();
        let document: Document = tree.read(&mut shape);
        let faults = RefCell::new(shape);
        let at = At::root(&tree, &faults);
        let config = resolve(&document, base, &at);
        let mut faults = faults.into_inner();
        if faults.is_empty() {
            let warnings = RefCell::default();
            let at = At::root(&tree, &warnings).field("destination");
            config.routes.doubts().into_iter().for_each(|doubt| at.item(doubt.index).fault(doubt.what));
            return Ok(Config { warnings: warnings.into_inner(), ..config });
        }
        faults.sort_by_key(|fault| (fault.line, fault.column));
        faults.dedup();
        Err(faults)
    }

    /// Whether the document describes sources that files are sent to. Sources without a write key only give names to ids.
    #[must_use]
    pub fn has_targets(&self) -> bool {
        self.sources.iter().any(|source| source.write_key.is_some())
    }

    /// The mappings and sources for a file: one for each mapping that matches; without any, the reading of all files. The
    /// rows that a mapping refused are for that mapping alone, in whatever folder.
    ///
    /// # Errors
    /// When sources with write keys are described and none takes the key.
    pub fn for_key(&self, key: &str) -> Result<Vec<ForKey<'_>>, NoMatch> {
        let refused_by = self.mappings.iter().find(|rule| is_rejects_of(&rule.mapping().name, key));
        if let Some(rule) = refused_by {
            return Ok(vec![self.by_rule(rule, key)?]);
        }
        let mut found = Vec::new();
        for rule in self.mappings.iter().filter(|rule| rule.keys.matches(key)) {
            found.push(self.by_rule(rule, key)?);
            if !rule.also {
                break;
            }
        }
        if found.is_empty() {
            found.push(ForKey { reading: &self.reading, source: self.source_for(None, key)? });
        }
        Ok(found)
    }

    /// How a file that was begun under a mapping is looked up: by the mapping's name.
    #[must_use]
    pub fn mapping_named(&self, name: &str) -> Option<&MappingRule> {
        self.mappings.iter().find(|rule| rule.mapping().name == name)
    }

    /// Advice for a key that no mapping matches: the nearest pattern.
    #[must_use]
    pub fn nearest_pattern(&self, key: &str) -> Option<&str> {
        let patterns = self.mappings.iter().flat_map(|rule| rule.keys.patterns());
        let key = key.to_lowercase();
        let similarity = |pattern: &str| strsim::normalized_damerau_levenshtein(&pattern.to_lowercase(), &key);
        patterns.map(String::as_str).max_by(|one, other| similarity(one).total_cmp(&similarity(other)))
    }

    /// The values that are kept elsewhere, each once.
    #[must_use]
    pub fn references(&self) -> Vec<Secret> {
        let keys = self.sources.iter().filter_map(|source| source.write_key.clone());
        let ids = self.routes.destinations.iter().map(|destination| Secret::read(&destination.external_id));
        let mut references: Vec<Secret> = keys.chain(ids).filter(|secret| secret.known().is_none()).collect();
        references.sort_unstable();
        references.dedup();
        references
    }

    /// Puts the values of references in their place. `get` gives the value of a reference.
    pub fn resolve(&mut self, get: &dyn Fn(&Secret) -> Option<String>) {
        for key in self.sources.iter_mut().filter_map(|source| source.write_key.as_mut()) {
            if let Some(value) = get(key) {
                *key = key.resolved(value);
            }
        }
        for id in self.routes.destinations.iter_mut().map(|destination| &mut destination.external_id) {
            if let Some(value) = get(&Secret::read(id)) {
                *id = value;
            }
        }
    }

    fn by_rule<'a>(&'a self, rule: &'a MappingRule, key: &str) -> Result<ForKey<'a>, NoMatch> {
        Ok(ForKey { reading: &rule.reading, source: self.source_for(rule.source.as_deref(), key)? })
    }

    fn source_for(&self, named: Option<&str>, key: &str) -> Result<Option<usize>, NoMatch> {
        if !self.has_targets() {
            return Ok(None);
        }
        let is_it = |source: &Source| match named {
            Some(name) => source.name == name,
            None => source.write_key.is_some() && source.keys.matches(key),
        };
        self.sources.iter().position(is_it).map(Some).ok_or(NoMatch::Source)
    }
}

fn resolve(document: &Document, base: &Reading, at: &At<'_>) -> Config {
    let reading = document.reading.over(base, &mut |key, what| at.field("reading").field(key).fault(what));
    let sources: Vec<Source> = document
        .source
        .iter()
        .enumerate()
        .filter_map(|(index, table)| source(table, &at.field("source").item(index)))
        .collect();
    for (index, one) in sources.iter().enumerate() {
        if sources[..index].iter().any(|other| other.name == one.name || other.id == one.id) {
            at.field("source").item(index).fault("has the name or the id of another source; keep one");
        }
    }
    let mappings = mapping::rules(&document.mapping, &reading, &sources, at);
    let destinations = destination::destinations(&document.destination, &sources, at);
    let named = |source: &Source| NamedSource { id: source.id.clone(), name: source.name.clone() };
    let routes = Routes { destinations, sources: sources.iter().map(named).collect() };
    for clash in routes.clashes() {
        at.field("destination").item(clash.index).fault(clash.what);
    }
    Config { reading, sources, mappings, routes, warnings: Vec::new() }
}
