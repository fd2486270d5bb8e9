//! Lists of the API server, page by page: one page is in memory at a time, however long the list is.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::inspect::api::{Api, Error, lenient};

/// How many objects are asked for at once, as kubectl does.
const PAGE: usize = 500;

/// The most bytes of a page. A tenant may fill each object with a megabyte; such a page is asked for again with fewer objects.
const MOST: usize = 16 << 20;

/// A list of which one page has been read at most.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    path: String,
    /// A part of the URL's query.
    selector: String,
    /// How many objects the next page has at most.
    limit: usize,
    /// The token of the next page, empty for the first; `None` after the last.
    token: Option<String>,
    /// The text of the current page.
    text: Vec<u8>,
    /// How many objects were read so far, and how many there are, if the API server says so.
    progress: (usize, Option<usize>),
}

/// One page of a list.
pub(crate) struct Page<'p> {
    api: &'p Api,
    page: lenient::Page<'p>,
}

/// An object of a page, as text.
#[derive(Clone, Copy)]
pub(crate) struct Item<'p> {
    of: &'p Page<'p>,
    text: &'p RawValue,
}

impl<'a> Pages<'a> {
    /// The objects at a path that a selector matches, before the first page is read.
    pub(super) fn new(api: &'a Api, path: &str, selector: &str) -> Self {
        let (path, selector, token) = (path.to_owned(), selector.to_owned(), Some(String::new()));
        Pages { api, path, selector, limit: PAGE, token, text: Vec::new(), progress: (0, None) }
    }

    /// Reads the next page; `None` after the last one, or if the API server does not know the kind. If the list has expired
    /// meanwhile, it goes on after the last object with the objects as they are now.
    ///
    /// # Errors
    /// The API server refuses or was not reached, or an object is larger than any page.
    pub(crate) async fn next(&mut self) -> Result<Option<Page<'_>>, Error> {
        if !self.read().await? {
            return Ok(None);
        }
        let page = lenient::page(&self.text).map_err(|error| self.api.unreachable(error.to_string()))?;
        self.token = page.next().map(str::to_owned);
        let read = self.progress.0 + page.items().len();
        self.progress = (read, page.remaining().map(|remaining| read + remaining));
        Ok(Some(Page { api: self.api, page }))
    }

    /// Reads the text of the next page; false if there is none.
    async fn read(&mut self) -> Result<bool, Error> {
        let mut has_expired = false;
        while let Some(token) = &self.token {
            let next = match token.as_str() {
                "" => String::new(),
                token => format!("&continue={}", token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")),
            };
            let uri = format!("{}?limit={}&{}{next}", self.path, self.limit, self.selector);
            match self.api.body(&uri, &self.line(), MOST, &mut self.text).await {
                Ok(true) => return Ok(true),
                Ok(false) if self.limit > 1 => self.limit /= 2,
                Ok(false) => {
                    let why = format!("an object in it is larger than {} MiB", MOST >> 20);
                    return Err(Error::Unreadable { path: self.path.clone(), why });
                }
                Err(Error::Refused { code: 404, .. }) => break,
                Err(Error::Refused { code: 410, resume: Some(token), .. }) if !has_expired => {
                    self.token = Some(token);
                    has_expired = true;
                }
                Err(error) => return Err(error),
            }
        }
        self.token = None;
        Ok(false)
    }

    /// The progress so far, for a person.
    fn line(&self) -> String {
        let plural = self.path.rsplit('/').next().unwrap_or_default();
        match self.progress {
            (0, _) => format!("reading {plural}"),
            (read, None) => format!("reading {plural}: {read} so far"),
            (read, Some(all)) => format!("reading {plural}: {read} of {all}"),
        }
    }
}

impl Page<'_> {
    /// The objects of the page.
    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.page.items().iter().map(|text| Item { of: self, text })
    }

    /// The objects of the page, each parsed when it is asked for, with its kind and without its `managedFields`. One that
    /// cannot be parsed is skipped, with a note on standard error.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Value> {
        self.items().filter_map(Item::object)
    }
}

impl<'p> Item<'p> {
    /// The kind of the list's objects.
    pub(crate) fn kind(self) -> &'p str {
        self.of.page.kind()
    }

    /// Parses the object as a view that borrows from the page; `None` if it does not fit. If it cannot be parsed at all, a note on
    /// standard error says so.
    pub(crate) fn view<V: Deserialize<'p>>(self) -> Option<V> {
        let view = serde_json::from_str(self.text.get());
        if view.is_err() {
            self.object();
        }
        view.ok()
    }

    /// Parses the whole object, with its kind and without its `managedFields`; `None` if it cannot be parsed, with a note on
    /// standard error.
    pub(crate) fn object(self) -> Option<Value> {
        self.of.page.object(self.text).map_err(|line| self.of.api.note_once(line)).ok()
    }
}
