//! Pages of a list: `page_size`, `start_key`, `paginate=false`, as Crossbar has them. A start key is opaque to callers:
//! the last place that they have seen, base64.

use axum::{extract::FromRequestParts, http::request::Parts};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Shared, answer::Page, problem::Problem, query::Query};

/// Which page a caller asked for.
#[derive(Clone, Debug)]
pub struct Paging {
    /// How many entries at most.
    pub page_size: usize,
    /// The list whole: then `page_size` is the most that will be given, and more is an error.
    pub whole: bool,
    start_key: Option<String>,
}

impl Paging {
    /// Where to go on: what [`Paging::cut`] was given for the last entry of the page before. A made-up key is the
    /// caller's fault.
    pub fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        let Some(key) = &self.start_key else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(key).ok();
        let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        place.map(Some).ok_or_else(|| {
            let message = "is no start key of this list; take next_start_key of the page before, or leave it out";
            Problem::invalid_with("start_key", "invalid", message, serde_json::json!({"value": key}))
        })
    }

    /// How many rows to fetch: one more than will be given, to know whether there is a next page.
    pub fn rows_to_fetch(&self) -> u32 {
        u32::try_from(self.page_size + 1).unwrap_or(u32::MAX)
    }

    /// Cuts off what was fetched over the page, and says where the next one begins. Each entry comes with its place.
    pub fn cut<P: Serialize>(&self, mut entries: Vec<(P, Value)>) -> Result<(Vec<Value>, Page), Problem> {
        let more = entries.len() > self.page_size;
        if more && self.whole {
            return Err(Problem::too_many_rows(self.page_size as u64));
        }
        entries.truncate(self.page_size);
        let last = entries.last().filter(|_| more).map(|(place, _)| place);
        let page = self.ended_after(entries.len(), last);
        Ok((entries.into_iter().map(|(_, value)| value).collect(), page))
    }

    /// A page of so many entries, the next one beginning after the last place when there is one.
    pub fn ended_after<P: Serialize>(&self, page_size: usize, last: Option<&P>) -> Page {
        let next_start_key =
            last.and_then(|place| serde_json::to_vec(place).ok()).map(|place| URL_SAFE_NO_PAD.encode(place));
        Page { page_size, start_key: self.start_key.clone(), next_start_key }
    }
}

impl FromRequestParts<Shared> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Problem> {
        let query = Query::of(parts);
        let most = usize::try_from(api.settings.list_rows_max).unwrap_or(usize::MAX);
        let whole = query.get("paginate") == Some("false");
        let page_size = match query.get("page_size") {
            Some(_) | None if whole => most,
            None => usize::try_from(api.settings.page_rows).unwrap_or(most),
            Some(text) => match text.parse::<usize>() {
                Ok(size @ 1..) => size.min(most),
                _ => return Err(Problem::faulty_request("page_size must be a number, 1 or more")),
            },
        };
        let start_key = query.get("start_key").filter(|key| !key.is_empty()).map(str::to_owned);
        Ok(Self { page_size, whole, start_key })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paging(page_size: usize, whole: bool, start_key: Option<&str>) -> Paging {
        Paging { page_size, whole, start_key: start_key.map(str::to_owned) }
    }

    fn entries(count: usize) -> Vec<(usize, Value)> {
        (0..count).map(|number| (number, json!(number))).collect()
    }

    #[test]
    fn a_page_says_where_the_next_begins() {
        let (data, page) = paging(2, false, None).cut(entries(3)).expect("a page");
        assert_eq!((data, page.page_size), (vec![json!(0), json!(1)], 2));
        let next = paging(2, false, page.next_start_key.as_deref());
        assert_eq!(next.after::<usize>().ok().flatten(), Some(1));
        let (_, last) = next.cut(entries(2)).expect("a page");
        assert_eq!(last.next_start_key, None);
    }

    #[test]
    fn a_made_up_key_is_refused() {
        for key in ["x", "!!", "bnVsbA", "e30"] {
            assert!(paging(2, false, Some(key)).after::<(u64, i64)>().is_err(), "{key}");
        }
    }

    #[test]
    fn a_whole_list_has_a_bound() {
        assert!(paging(2, true, None).cut(entries(2)).is_ok());
        assert!(paging(2, true, None).cut(entries(3)).is_err());
    }
}
