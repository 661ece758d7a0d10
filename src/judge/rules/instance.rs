//! Instances of a rule, and the variables that they bound.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::shape::Picks;
use crate::pattern::ast::Path;
use crate::pattern::{Bindings, Env, Names};
use crate::time::Instant;

/// Bound variables. Most instances have none or one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Variables(SmallVec<[Bound; 1]>);

impl Variables {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    pub(super) fn set(&mut self, name: &Arc<str>, value: &Arc<str>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = Arc::clone(value),
            None => self.0.push((Arc::clone(name), Arc::clone(value))),
        }
    }

    pub(super) fn extend(&mut self, bindings: &Bindings) {
        bindings.iter().for_each(|binding| self.set(&binding.name, &binding.value));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The variables of an instance, those of its key behind them.
pub(super) struct Scope<'a> {
    pub(super) names: &'a Names,
    pub(super) own: &'a Variables,
    pub(super) latest: &'a Variables,
}

impl Scope<'_> {
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.own.get(name).or_else(|| self.latest.get(name)).map(str::to_owned)
    }
}

impl Env for Scope<'_> {
    fn names(&self) -> &Names {
        self.names
    }

    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self.own.get(name).or_else(|| self.latest.get(name)).map(Cow::Borrowed)
    }

    fn values_of(&self, _: &str, _: &Path) -> Option<Vec<String>> {
        None
    }
}

/// One obligation.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// The message that started it (`$when`).
    pub(super) trigger: Option<u32>,
    /// The event at which it started.
    pub(super) event: u32,
    pub(super) variables: Variables,
    /// How many links of the chain came.
    pub(super) step: usize,
    pub(super) deadline: Option<Instant>,
    /// What had been counted for its key when it started.
    pub(super) counted: u32,
    /// What it counted on its own account, when variables decide.
    pub(super) own_count: u32,
    pub(super) owes_then: bool,
    pub(super) owes_never: bool,
    pub(super) owes_count: bool,
    pub(super) owes_seen: bool,
}

impl Instance {
    pub(super) const fn is_done(&self) -> bool {
        !(self.owes_then || self.owes_never || self.owes_count || self.owes_seen)
    }
}

/// The instances of one key that still owe something.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    /// In the order of their numbers. What comes first is mostly over first.
    all: VecDeque<(u32, Instance)>,
    next: u32,
    /// Where patterns pick them out.
    picked: Option<Box<Picked>>,
}

/// A variable and its value.
type Bound = (Arc<str>, Arc<str>);

/// The ways in which patterns pick out instances.
#[derive(Clone, Debug, Default)]
struct Picked {
    by_trigger: BTreeMap<u32, SmallVec<[u32; 2]>>,
    by_value: BTreeMap<Bound, SmallVec<[u32; 2]>>,
}

impl Live {
    pub(super) fn insert(&mut self, instance: Instance, picks: &Picks) -> u32 {
        let id = self.next;
        self.next += 1;
        if picks.any() {
            let picked = self.picked.get_or_insert_default();
            if let Some(trigger) = instance.trigger {
                picked.by_trigger.entry(trigger).or_default().push(id);
            }
            for key in picks.values_of(&instance.variables) {
                picked.by_value.entry(key).or_default().push(id);
            }
        }
        if self.all.is_empty() {
            // Most keys never have a second one.
            self.all.reserve_exact(1);
        }
        self.all.push_back((id, instance));
        id
    }

    pub(super) fn remove(&mut self, id: u32, picks: &Picks) -> Option<Instance> {
        let (_, instance) = self.all.remove(self.place(id)?)?;
        if let Some(picked) = &mut self.picked {
            instance.trigger.iter().for_each(|trigger| strike(&mut picked.by_trigger, trigger, id));
            picks.values_of(&instance.variables).for_each(|key| strike(&mut picked.by_value, &key, id));
        }
        Some(instance)
    }

    fn place(&self, id: u32) -> Option<usize> {
        self.all.binary_search_by_key(&id, |(known, _)| *known).ok()
    }

    pub(super) fn get(&self, id: u32) -> Option<&Instance> {
        self.all.get(self.place(id)?).map(|(_, instance)| instance)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Instance> {
        let place = self.place(id)?;
        self.all.get_mut(place).map(|(_, instance)| instance)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn ids(&self) -> SmallVec<[u32; 8]> {
        self.all.iter().map(|(id, _)| *id).collect()
    }

    pub(super) fn deadlines(&self) -> impl Iterator<Item = (Instant, u32)> {
        self.all.iter().filter_map(|(id, instance)| instance.deadline.map(|deadline| (deadline, *id)))
    }

    pub(super) fn started_by(&self, trigger: u32) -> SmallVec<[u32; 8]> {
        let ids = self.picked.as_ref().and_then(|picked| picked.by_trigger.get(&trigger));
        ids.map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    pub(super) fn with_value(&self, name: &Arc<str>, value: Arc<str>) -> SmallVec<[u32; 8]> {
        let key = (Arc::clone(name), value);
        let ids = self.picked.as_ref().and_then(|picked| picked.by_value.get(&key));
        ids.map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }
}

/// Takes an instance out of an index.
fn strike<K: Ord>(index: &mut BTreeMap<K, SmallVec<[u32; 2]>>, key: &K, id: u32) {
    let Some(ids) = index.get_mut(key) else { return };
    ids.retain(|known| *known != id);
    if ids.is_empty() {
        index.remove(key);
    }
}

impl Picks {
    /// The variables by whose value instances are picked out, as far as they are bound.
    fn values_of(&self, variables: &Variables) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
        variables.0.iter().filter(|(name, _)| self.by_value.contains(name)).cloned()
    }
}
