//! The names in XMP that mean something here, by their name spaces.

/// The name space of RDF, in which XMP is written.
pub(super) const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";

/// What a property says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    /// When it was taken, by the camera.
    DateTimeOriginal,
    /// When it was taken, by a person.
    DateCreated,
    CreateDate,
    DateTimeDigitized,
    Rating,
    RatingPercent,
    Title,
    Creator,
    Rights,
    WebStatement,
    License,
    Keyword,
    /// Keywords from the widest to the narrowest, with separators between them.
    KeywordPath,
    Album,
    /// A name that is no keyword: of a person, or of a place.
    Withheld,
}

impl Property {
    /// Whether it counts wherever it stands. The others only count of the picture itself, because
    /// XMP may also describe what the picture was made from.
    pub(super) const fn is_nested(self) -> bool {
        matches!(self, Self::Album | Self::Withheld)
    }

    /// Returns what a name means, or `None` if that is nothing to us.
    pub(super) fn of(name_space: &str, name: &str) -> Option<Self> {
        Some(match (name_space, name) {
            ("http://ns.adobe.com/exif/1.0/", "DateTimeOriginal") => Self::DateTimeOriginal,
            ("http://ns.adobe.com/exif/1.0/", "DateTimeDigitized") => Self::DateTimeDigitized,
            ("http://ns.adobe.com/photoshop/1.0/", "DateCreated") => Self::DateCreated,
            ("http://ns.adobe.com/photoshop/1.0/", "City" | "State" | "Country") => Self::Withheld,
            ("http://ns.adobe.com/xap/1.0/", "CreateDate") => Self::CreateDate,
            ("http://ns.adobe.com/xap/1.0/", "Rating") => Self::Rating,
            ("http://ns.adobe.com/xap/1.0/rights/", "WebStatement") => Self::WebStatement,
            ("http://purl.org/dc/elements/1.1/", "title") => Self::Title,
            ("http://purl.org/dc/elements/1.1/", "creator")
            | ("http://ns.adobe.com/tiff/1.0/", "Artist") => Self::Creator,
            ("http://purl.org/dc/elements/1.1/", "rights")
            | ("http://ns.adobe.com/tiff/1.0/", "Copyright") => Self::Rights,
            ("http://purl.org/dc/elements/1.1/", "subject") => Self::Keyword,
            ("http://creativecommons.org/ns#", "license") => Self::License,
            ("http://ns.microsoft.com/photo/1.0/" | "http://ns.microsoft.com/photo/1.0", name) => {
                match name {
                    "Rating" => Self::RatingPercent,
                    "LastKeywordXMP" => Self::KeywordPath,
                    _ => return None,
                }
            }
            ("http://ns.adobe.com/lightroom/1.0/", "hierarchicalSubject")
            | ("http://www.digikam.org/ns/1.0/", "TagsList") => Self::KeywordPath,
            ("http://ns.iview-multimedia.com/mediapro/1.0/", "CatalogSets")
            | ("http://www.metadataworkinggroup.com/schemas/collections/", "CollectionName") => {
                Self::Album
            }
            ("http://www.metadataworkinggroup.com/schemas/regions/", "Name")
            | ("http://ns.microsoft.com/photo/1.2/t/Region#", "PersonDisplayName")
            | (
                "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
                "PersonInImage" | "PersonName" | "City" | "Sublocation" | "ProvinceState"
                | "CountryName" | "LocationName" | "WorldRegion",
            )
            | ("http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", "Location" | "CountryCode") => {
                Self::Withheld
            }
            _ => return None,
        })
    }
}
