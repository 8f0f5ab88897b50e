//! Options: `OPTIONS (path 'in', maxFilesPerTrigger '1')`, `TBLPROPERTIES`, `WITH (…)`.

use crate::error::{Error, Place};

/// Keys with text values. A key is found in any case; messages show it as it was written.
#[derive(Debug, Clone, Default)]
pub struct Options(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    value: String,
    /// Where the user wrote it.
    place: Option<Place>,
}

impl Options {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a key, in whatever case it was written.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.find(key).map(|entry| entry.value.as_str())
    }

    fn find(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key.eq_ignore_ascii_case(key))
    }

    /// Sets a key. What it had before in any case is replaced.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.put(Entry { key: key.into(), value: value.into(), place: None });
    }

    /// Sets a key that stands at a place of the user's text.
    pub(super) fn set_at(&mut self, key: String, value: String, place: Place) {
        self.put(Entry { key, value, place: Some(place) });
    }

    fn put(&mut self, entry: Entry) {
        self.0.retain(|other| !other.key.eq_ignore_ascii_case(&entry.key));
        self.0.push(entry);
    }

    /// Sets all keys that others have, as they have them.
    pub fn extend(&mut self, others: &Options) {
        others.0.iter().cloned().for_each(|entry| self.put(entry));
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|entry| entry.key.eq_ignore_ascii_case(key))?;
        Some(self.0.remove(at).value)
    }

    /// Keys and values in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The error, with the place of the option that it is about, if it stands in a text.
    pub fn locate(&self, error: Error) -> Error {
        let place = error.subject().and_then(|key| self.find(key)?.place.clone());
        match place {
            Some(place) if error.place().is_none() => error.at(place),
            _ => error,
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut options = Self::new();
        for (key, value) in pairs {
            options.set(key, value);
        }
        options
    }
}
