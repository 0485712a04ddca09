//! Tests `/images`: the list of images, page by page.

use super::gallery::{Known, ids, known};
use crate::harness::{Response, Workspace};
use crate::pictures::{photo, save};

#[test]
fn pages_follow_each_other_while_images_come_and_go() {
    let space = Workspace::with_photos(20);
    let (server, key) = space.serve_with_key();
    let headers = [("X-API-Key", key.as_str())];
    let before = known(&space);
    let mut next = Some("/images?limit=3&max_width=75&x=%3C&key=wrong".to_owned());
    let mut shown = Vec::new();
    let mut pages = 0;
    while let Some(path) = next {
        let page = server.request("GET", &path, &headers);
        assert_eq!(page.status, 200, "{path}");
        shown.extend(ids(&page.json()));
        next = next_page(&page);
        pages += 1;
        if pages == 2 {
            save(photo(50, 50, 77), &space.picture("late.png"));
            space.import();
            // The first of these was shown, and the other was not yet.
            space.run(["remove", &shown[1], &before[15].id]).expect(0);
            let update = server.get(&format!("/update-images/{key}"));
            assert_eq!(update.status, 200);
        }
    }
    let is_expected = |image: &&Known| {
        image.width <= 75 && (image.id != before[15].id || shown.contains(&image.id))
    };
    let expected: Vec<String> =
        before.iter().filter(is_expected).map(|image| image.id.clone()).collect();
    assert_eq!(shown, expected, "all that stayed, newest first, each once");
    let all = server.request("GET", "/images", &headers);
    assert_eq!((ids(&all.json()).len(), all.header("link")), (19, None));
    let fields = all.json()[0].as_object().unwrap().len();
    assert_eq!(fields, 19);
    let end = server.request("GET", "/images?limit=100&cursor=0", &headers);
    assert_eq!(ids(&end.json()), [""; 0]);
}

/// The path of the next page, from the `Link` header. It keeps all parameters but the key.
#[track_caller]
fn next_page(page: &Response) -> Option<String> {
    let link = page.header("link")?;
    let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
    let path = path.expect(link);
    assert!(path.starts_with("/images?limit=3&max_width=75&x=%3C&cursor="), "{path}");
    Some(path.to_owned())
}
