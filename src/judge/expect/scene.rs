//! What patterns of a script are matched and filled with.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::pattern::ast::Path;
use crate::pattern::{Env, Names, View, read};
use crate::trace::correlate::Symbol;
use crate::trace::event::Content;

/// A message that a step named.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) content: Content,
    pub(super) whole: Option<Bytes>,
    pub(super) dialog: Option<Symbol>,
    pub(super) event: u32,
    /// Of a response: the event of its request.
    pub(super) answers: Option<u32>,
}

/// What patterns are matched and filled with: names, saved values, messages that steps named.
#[derive(Debug, Default)]
pub struct Scene {
    pub(super) names: Names,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) kept: BTreeMap<String, Kept>,
}

impl Env for Scene {
    fn names(&self) -> &Names {
        &self.names
    }

    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(value) = self.variables.get(name) {
            return Some(Cow::Borrowed(value.as_str()));
        }
        // `x.path` reads from the message that a step named `x`; names hold dots themselves.
        let named = name.rmatch_indices('.').find_map(|(dot, _)| {
            let path = Path::parse(&name[dot + 1..]).ok()?;
            self.kept.contains_key(&name[..dot]).then(|| self.values_of(&name[..dot], &path))?
        });
        let named = named.and_then(|values| values.into_iter().next()).map(Cow::Owned);
        named.or_else(|| self.names.instance(name).map(Cow::Borrowed))
    }

    fn values_of(&self, id: &str, path: &Path) -> Option<Vec<String>> {
        let kept = self.kept.get(id)?;
        let whole = kept.whole.clone();
        Some(view_of(&kept.content, whole).map_or_else(Vec::new, |view| read(&view, path)))
    }
}

/// A message as patterns see it.
pub fn view_of(content: &Content, whole: Option<Bytes>) -> Option<View<'_>> {
    match content {
        Content::Sip(message) => Some(View::sip(message)),
        Content::Msrp(chunk) => Some(View::msrp(chunk, whole)),
        Content::Broken { .. } => None,
    }
}
