//! What a fitting pattern bound.

use std::sync::Arc;

use smallvec::SmallVec;

/// A variable and the value that a match gave it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Binding {
    /// The variable.
    pub name: Arc<str>,
    /// Its value, as it stands in the message.
    pub value: Arc<str>,
    /// `bind-latest`: it replaces what the variable held.
    pub latest: bool,
}

/// The variables that one match bound, in the order of the pattern's keys: mostly one or none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bindings(SmallVec<[Binding; 1]>);

impl Bindings {
    /// Adds a variable.
    pub fn push(&mut self, name: &Arc<str>, value: &str, latest: bool) {
        self.0.push(Binding { name: Arc::clone(name), value: value.into(), latest });
    }

    /// Whether nothing was bound.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|binding| &*binding.name == name).map(|binding| &*binding.value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.0.iter()
    }

    /// Forgets what was bound after `mark` bindings, when an attempt fails.
    pub(super) fn truncate(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
