//! `/images`: the gallery page by page, newest first.
//!
//! A cursor is the ordinal of the last image of the page before. Ordinals are given in the order of arrival and never again, so
//! images that come meanwhile stand before the first page, and images that go leave the others where they are: none is
//! shown twice and none is missed.

use warp::http::header::LINK;
use warp::reply::Response;

use super::error::ApiError;
use super::query::{self, Parameters};
use super::random::{matches, records};
use super::routes::{Answer, Request, header_value, json};
use crate::image::{ImageId, ImageInfo};

/// Images on a page when nothing is said.
const DEFAULT_LIMIT: u32 = 30;

pub(super) async fn list(request: &Request) -> Answer {
    let parameters = Parameters::with_filter(request.query(), query::LISTING)?;
    let limit = parameters.limit.unwrap_or(DEFAULT_LIMIT) as usize;
    let catalog = request.gallery().catalog().ok_or(ApiError::Unavailable)?;
    let matches = matches(&catalog, &parameters.filter_for(&request.headers)).await?;
    // One more tells whether there is a next page.
    let mut page = matches.newest(parameters.cursor, limit + 1);
    let has_next = page.len() > limit;
    page.truncate(limit);
    let ids: Vec<ImageId> = page.iter().map(|(_, id)| *id).collect();
    let mut response = show(request, &ids).await?;
    if let (true, Some((last, _))) = (has_next, page.last()) {
        let link = format!("</images?{}>; rel=\"next\"", next_query(request.query(), *last));
        response.headers_mut().insert(LINK, header_value(link)?);
    }
    if parameters.auto_orientation {
        query::ask_for_viewport(response.headers_mut());
    }
    Ok(response)
}

async fn show(request: &Request, ids: &[ImageId]) -> Result<Response, ApiError> {
    let records = records(request, ids).await?;
    let infos: Vec<_> = records.iter().map(|(id, record)| ImageInfo::new(*id, record)).collect();
    Ok(json(&infos))
}

/// The query of the next page: what was asked for, less what opens the door and the cursor before.
fn next_query(query: &str, last: u32) -> String {
    let mut next = String::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = query::decode(pair.split('=').next().unwrap_or_default());
        let left_out = name.is_none_or(|name| matches!(&*name, "cursor" | "key" | "exp" | "sig"));
        if !left_out {
            next.push_str(pair);
            next.push('&');
        }
    }
    // What would end the address within the header's angle brackets is as good as encoded.
    format!("{}cursor={last}", next.replace('<', "%3C").replace('>', "%3E"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_pages_query_keeps_the_filter_and_no_key() {
        for (query, expected) in [
            ("", "cursor=7"),
            ("limit=2&tag=a%26b&tag=-c", "limit=2&tag=a%26b&tag=-c&cursor=7"),
            ("cursor=9&key=secret&limit=2&&k%65y=secret&sig=s&exp=1", "limit=2&cursor=7"),
            ("x=%ff&%ff=1&tag=<a>", "x=%ff&tag=%3Ca%3E&cursor=7"),
        ] {
            assert_eq!(next_query(query, 7), expected, "{query}");
        }
    }
}
