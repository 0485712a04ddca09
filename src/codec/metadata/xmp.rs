//! Reads the claims of XMP (ISO 16684-1): properties in RDF, which may be written as elements or as
//! attributes, and be single, or lists, or the same text in several languages.
//!
//! Tags are read one by one, and a constant bounds what is remembered of them. Entities are not
//! expanded, and damage ends the reading.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;

use super::claims::{Claims, Stars, parse_date};
use super::xmp_names::{Property, RDF};

/// Deepest nesting that is read. Real XMP has some ten levels.
const MAX_DEPTH: usize = 64;
/// Most name spaces that are remembered.
const MAX_NAME_SPACES: usize = 128;
/// Most values that are remembered.
const MAX_VALUES: usize = 2_000;

/// Roots of keyword paths below which the names of persons and places stand, in lower case.
const WITHHELD_ROOTS: [&str; 8] =
    ["people", "persons", "person", "faces", "places", "place", "locations", "location"];

/// A value of a property.
struct Value {
    property: Property,
    /// Whether it is the text for readers of any language.
    is_default: bool,
    text: String,
}

/// An element that is open.
struct Element {
    is_rdf: bool,
    /// What its text says.
    property: Option<Property>,
    is_default: bool,
    text: String,
}

#[derive(Default)]
struct XmpReader {
    /// Prefixes and their name spaces. XMP uses the same ones throughout.
    name_spaces: Vec<(String, String)>,
    open: Vec<Element>,
    values: Vec<Value>,
}

/// Reads the XMP in a packet, as UTF-8 or UTF-16.
pub(super) fn read(xmp: &[u8]) -> Claims {
    let text = decode(xmp);
    let mut xml = Reader::from_str(text.trim_start_matches('\u{FEFF}'));
    let mut reader = XmpReader::default();
    while let Ok(event) = xml.read_event() {
        match event {
            Event::Eof => break,
            Event::Start(_) | Event::Empty(_) if reader.open.len() >= MAX_DEPTH => break,
            Event::Start(start) => reader.open(&start),
            Event::Empty(start) => {
                reader.open(&start);
                reader.close();
            }
            Event::End(_) => reader.close(),
            Event::Text(text) => reader.add_text(&text),
            Event::CData(text) => reader.add_text(&text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(character)) => reader.add_text(character.encode_utf8(&mut [0; 4])),
                _ => {
                    let name: &str = &reference;
                    reader.add_text(resolve_predefined_entity(name).unwrap_or_default());
                }
            },
            _ => {}
        }
    }
    claims(&reader.values)
}

fn decode(xmp: &[u8]) -> Cow<'_, str> {
    let units = |order: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = xmp.as_chunks().0.iter().map(|unit| order(*unit)).collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    };
    match xmp {
        [0xFE, 0xFF, ..] | [0, b'<', ..] => units(u16::from_be_bytes),
        [0xFF, 0xFE, ..] | [b'<', 0, ..] => units(u16::from_le_bytes),
        _ => String::from_utf8_lossy(xmp),
    }
}

impl XmpReader {
    /// Opens an element and takes the values in its attributes.
    fn open(&mut self, start: &BytesStart<'_>) {
        self.note_name_spaces(start);
        let is_rdf = self.name_space(start.name()) == Some(RDF);
        let of_picture = self.open.len() >= 2 && self.is_description(self.open.len() - 1);
        let property = match self.open.last() {
            // The members of lists, and values with qualifiers.
            Some(parent) if is_rdf => parent.property,
            _ => self.property(start.name(), of_picture),
        };
        let mut is_default = false;
        self.open.push(Element { is_rdf, property: None, is_default, text: String::new() });
        let describes_picture = self.is_description(self.open.len() - 1);
        for attribute in start.attributes().with_checks(false).flatten() {
            let Ok(value) = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0) else {
                continue;
            };
            let is_value_of_element = self.name_space(attribute.key) == Some(RDF)
                && matches!(attribute.key.local_name().as_ref(), "resource" | "value");
            if attribute.key.as_ref() == "xml:lang" {
                is_default = &*value == "x-default";
            } else if let Some(property) = property.filter(|_| is_value_of_element) {
                self.add_value(property, false, &value);
            } else if let Some(property) = self.property(attribute.key, describes_picture) {
                self.add_value(property, false, &value);
            }
        }
        if let Some(element) = self.open.last_mut() {
            (element.property, element.is_default) = (property, is_default);
        }
    }

    fn close(&mut self) {
        let Some(Element { property: Some(property), is_default, text, .. }) = self.open.pop()
        else {
            return;
        };
        self.add_value(property, is_default, &text);
    }

    fn add_text(&mut self, text: &str) {
        if let Some(element) = self.open.last_mut().filter(|element| element.property.is_some()) {
            element.text.push_str(text);
        }
    }

    fn add_value(&mut self, property: Property, is_default: bool, text: &str) {
        let text = text.trim();
        if !text.is_empty() && self.values.len() < MAX_VALUES {
            self.values.push(Value { property, is_default, text: text.to_owned() });
        }
    }

    /// Whether an open element describes the picture itself: it stands right below `rdf:RDF`, which
    /// may stand below one more element.
    fn is_description(&self, at: usize) -> bool {
        let is_rdf = |at: usize| self.open.get(at).is_some_and(|element| element.is_rdf);
        match at {
            1 => is_rdf(0) && is_rdf(1),
            2 => !is_rdf(0) && is_rdf(1) && is_rdf(2),
            _ => false,
        }
    }

    fn property(&self, name: QName<'_>, of_picture: bool) -> Option<Property> {
        let property = Property::of(self.name_space(name)?, name.local_name().as_ref())?;
        (of_picture || property.is_nested()).then_some(property)
    }

    fn note_name_spaces(&mut self, start: &BytesStart<'_>) {
        for attribute in start.attributes().with_checks(false).flatten() {
            let Some(prefix) = attribute.key.as_ref().strip_prefix("xmlns:") else { continue };
            let is_known = self.name_spaces.iter().any(|known| known.0 == prefix);
            if !is_known && self.name_spaces.len() < MAX_NAME_SPACES {
                self.name_spaces.push((prefix.to_owned(), attribute.value.into_owned()));
            }
        }
    }

    fn name_space(&self, name: QName<'_>) -> Option<&str> {
        let prefix = name.prefix()?;
        let known = self.name_spaces.iter().find(|known| known.0 == prefix.as_ref())?;
        Some(&known.1)
    }
}

fn claims(values: &[Value]) -> Claims {
    let all = |property: Property| values.iter().filter(move |value| value.property == property);
    let first = |property: Property| all(property).next().map(|value| value.text.clone());
    let for_all_readers = |property: Property| {
        let default = all(property).find(|value| value.is_default);
        default.map(|value| value.text.clone()).or_else(|| first(property))
    };
    let date = |property: Property| first(property).and_then(|text| parse_date(&text));
    let stars = || first(Property::Rating).and_then(|text| Stars::parse(&text));
    let percent = || first(Property::RatingPercent)?.parse().ok().and_then(Stars::of_percent);
    let creators: Vec<&str> = all(Property::Creator).map(|value| &*value.text).collect();
    let mut claims = Claims {
        taken: date(Property::DateTimeOriginal).or_else(|| date(Property::DateCreated)),
        made: date(Property::CreateDate).or_else(|| date(Property::DateTimeDigitized)),
        stars: stars().or_else(percent),
        title: for_all_readers(Property::Title),
        creator: (!creators.is_empty()).then(|| creators.join(", ")),
        copyright: for_all_readers(Property::Rights),
        licence: first(Property::WebStatement).or_else(|| first(Property::License)),
        keywords: all(Property::Keyword).map(|value| value.text.clone()).collect(),
        withheld: all(Property::Withheld).map(|value| value.text.clone()).collect(),
    };
    let paths = values
        .iter()
        .filter(|value| matches!(value.property, Property::KeywordPath | Property::Album));
    for path in paths {
        let mut names = path.text.split(['|', '/']).map(str::trim).filter(|name| !name.is_empty());
        let root = names.next().unwrap_or_default();
        if WITHHELD_ROOTS.contains(&&*root.to_lowercase()) {
            claims.withheld.extend(names.map(str::to_owned));
        } else {
            claims.keywords.push(names.next_back().unwrap_or(root).to_owned());
        }
    }
    claims
}
