//! Makes the gallery that most of these tests serve, and says what each filter means in it.

use serde_json::Value;

use crate::harness::{Response, Workspace};
use crate::pictures::{animation, photo, save};

/// An image of the gallery, as the command line lists it.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: String,
    pub width: u64,
    pub height: u64,
    pub animated: bool,
    pub tags: Vec<String>,
}

/// A gallery of seven pictures: all orientations, with tags and an animation among them.
pub fn varied() -> Workspace {
    let space = Workspace::file();
    save(photo(120, 60, 1), &space.picture("sea/landscape-1.png"));
    save(photo(100, 80, 2), &space.picture("sea/calm/landscape-2.png"));
    save(photo(60, 120, 3), &space.picture("sea/portrait-1.png"));
    save(photo(50, 90, 4), &space.picture("woods/portrait-2.png"));
    save(photo(70, 70, 5), &space.picture("woods/square.png"));
    save(photo(700, 400, 6), &space.picture("woods/blaue Bäume/large.png"));
    std::fs::write(space.picture("moving.webp"), animation(64, 48)).unwrap();
    space.import();
    space
}

/// All images, newest first.
pub fn known(space: &Workspace) -> Vec<Known> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    space
        .list()
        .iter()
        .map(|image| Known {
            id: text(&image["id"]),
            width: image["width"].as_u64().unwrap(),
            height: image["height"].as_u64().unwrap(),
            animated: image["animated"].as_bool().unwrap(),
            tags: image["tags"].as_array().unwrap().iter().map(text).collect(),
        })
        .collect()
}

type Matches = fn(&Known) -> bool;

pub const LANDSCAPE: Matches = |image| image.width > image.height;
pub const PORTRAIT: Matches = |image| image.width < image.height;
pub const SQUARE: Matches = |image| image.width == image.height;

/// A filter's query, and which images match it.
pub const FILTERS: &[(&str, Matches)] = &[
    ("", |_| true),
    ("orientation=landscape", LANDSCAPE),
    ("orientation=portrait", PORTRAIT),
    ("orientation=square", SQUARE),
    ("orientation=auto", |_| true),
    ("min_width=100", |image| image.width >= 100),
    ("max_width=99", |image| image.width <= 99),
    ("min_height=90", |image| image.height >= 90),
    ("max_height=0080", |image| image.height <= 80),
    ("min_width=60&max_width=100", |image| (60..=100).contains(&image.width)),
    ("tag=sea", |image| has(image, "sea")),
    ("tag=sea&tag=calm", |image| has(image, "sea") && has(image, "calm")),
    ("tag=-sea", |image| !has(image, "sea")),
    ("tag=sea&tag=-calm", |image| has(image, "sea") && !has(image, "calm")),
    ("tag=blaue+B%C3%A4ume", |image| has(image, "blaue Bäume")),
    ("tag=%20sea%20", |image| has(image, "sea")),
    ("animated=true", |image| image.animated),
    ("animated=false", |image| !image.animated),
    ("tag=-woods&orientation=landscape&min_height=70&animated=false", |image| {
        !has(image, "woods") && LANDSCAPE(image) && image.height >= 70 && !image.animated
    }),
    ("unknown=1&_=2&tag%5B%5D=x&Tag=x&%ff=%ff&=&", |_| true),
];

fn has(image: &Known, tag: &str) -> bool {
    image.tags.iter().any(|known| known == tag)
}

/// The id of the image that a response carries.
#[track_caller]
pub fn id_of(response: &Response) -> String {
    let id = response.header("x-image-id");
    id.unwrap_or_else(|| panic!("no image: {}", response.status)).to_owned()
}

/// The ids of the images in a JSON array.
pub fn ids(images: &Value) -> Vec<String> {
    images
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["id"].as_str().unwrap().to_owned())
        .collect()
}

pub fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}
