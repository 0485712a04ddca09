//! `/images`: the gallery page by page, newest first.
//!
//! A cursor is the ordinal of the last image of the page before. Ordinals are given in the order of
//! arrival and never again. So images that come meanwhile stand before the first page, images that
//! go leave the others in place, and none is shown twice or missed.

use warp::http::header::LINK;

use super::lookup::{matches, records};
use crate::http::admission::admit_reader;
use crate::http::error::ApiError;
use crate::http::query::{self, Parameters};
use crate::http::request::{HandlerResult, Request, header_value, json};
use crate::image::{ImageId, ImageInfo};

/// Number of images on a page if the request names none.
const DEFAULT_LIMIT: u32 = 30;

/// Answers with a page of images that meet the filter.
pub(in crate::http) async fn list(request: &Request) -> HandlerResult {
    admit_reader(request).await?;
    let parameters = Parameters::with_filter(request.query(), query::LISTING)?;
    let limit = parameters.limit.unwrap_or(DEFAULT_LIMIT) as usize;
    let catalog = request.gallery().catalog().ok_or(ApiError::Unavailable)?;
    let matches = matches(&catalog, &parameters.filter_for(&request.headers)).await?;
    // One more tells whether there is a next page.
    let mut page = matches.newest(parameters.cursor, limit + 1);
    let has_next = page.len() > limit;
    page.truncate(limit);
    let ids: Vec<ImageId> = page.iter().map(|(_, id)| *id).collect();
    let records = records(request, &ids).await?;
    let infos: Vec<_> = records.iter().map(|(id, record)| ImageInfo::new(*id, record)).collect();
    let mut response = json(&infos);
    if let (true, Some((last, _))) = (has_next, page.last()) {
        let link = format!("</images?{}>; rel=\"next\"", next_query(request.query(), *last));
        response.headers_mut().insert(LINK, header_value(link)?);
    }
    if parameters.auto_orientation {
        query::ask_for_viewport(response.headers_mut());
    }
    Ok(response)
}

/// Returns the query of the next page: this one's, with another cursor and without secrets.
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
    // An angle bracket would end the URL in the `Link` header.
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
