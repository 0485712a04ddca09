//! Reads the boxes of HEIC and AVIF files: items, their properties, references and bytes.
//!
//! ISO/IEC 14496-12 describes boxes, and 23008-12 items. What makes up a picture is decided in
//! `primary`. Image sequences and items that are built from other items are left out on purpose.
//! Everything read here is hostile: a constant bounds each list, because some boxes can declare
//! entries of no length.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::codec::pixels::cicp::Cicp;

/// Most items of a file. A phone's picture of 200 megapixels has 800 tiles.
const MAX_ITEMS: usize = 20_000;
/// Most extents of all items together.
const MAX_EXTENTS: usize = 100_000;
/// Most properties of an item. Real ones have a dozen.
const MAX_PROPERTIES: usize = 64;
/// Most boxes of one kind that say something of items. Real files have one.
const MAX_TABLES: usize = 256;
/// Most items that all references name together.
const MAX_REFERENCES: usize = 200_000;

/// Why a container holds no picture for us.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeifError {
    #[error("the file ends too early")]
    Truncated,
    #[error("a `{0}` box is missing")]
    Missing(&'static str),
    #[error("a `{0}` box holds more than any real picture needs")]
    TooMuch(&'static str),
    #[error("its `{0}` box contradicts itself")]
    Contradiction(&'static str),
    #[error("an item that is not there is referred to")]
    NoSuchItem,
    #[error("pictures of kind `{0}` are not supported")]
    UnsupportedKind(String),
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

use HeifError::{Contradiction, Missing, NoSuchItem, TooMuch, Truncated, Unsupported};

pub(super) type Result<T> = std::result::Result<T, HeifError>;

/// A property in `ipco` that describes an item.
pub(super) enum ItemProperty<'s> {
    Size(u32, u32),
    /// The decoder's configuration, `hvcC` or `av1C`.
    #[cfg_attr(
        not(feature = "heic"),
        allow(dead_code, reason = "AV1 needs none beside its stream")
    )]
    Configuration(&'s [u8]),
    Profile(&'s [u8]),
    Cicp(Cicp),
    /// Quarter turns counterclockwise.
    Rotation(u8),
    /// Whether top and bottom change places, rather than left and right.
    Mirror(bool),
    Aperture([u32; 8]),
    /// The meaning of an auxiliary picture, as a URN.
    Auxiliary(&'s [u8]),
    Other,
}

pub(super) struct HeifItem {
    pub(super) kind: [u8; 4],
    pub(super) hidden: bool,
    /// Whether extents count from the start of `idat`, not of the file.
    in_idat: bool,
    /// Offset and length of each extent. A length of 0 reaches to the end.
    extents: Vec<(u64, u64)>,
    /// Indexes into [`HeifContainer::properties`].
    properties: Vec<usize>,
}

pub(super) struct ItemReference {
    pub(super) kind: [u8; 4],
    pub(super) from: u32,
    pub(super) to: Vec<u32>,
}

pub(super) struct HeifContainer<'s> {
    source: &'s [u8],
    pub(super) brands: Vec<[u8; 4]>,
    pub(super) primary: u32,
    pub(super) items: BTreeMap<u32, HeifItem>,
    properties: Vec<ItemProperty<'s>>,
    pub(super) references: Vec<ItemReference>,
    idat: &'s [u8],
}

impl<'s> HeifContainer<'s> {
    pub(super) fn parse(source: &'s [u8]) -> Result<Self> {
        let mut container = Self {
            source,
            brands: Vec::new(),
            primary: 0,
            items: BTreeMap::new(),
            properties: Vec::new(),
            references: Vec::new(),
            idat: &[],
        };
        let mut file = BoxReader(source);
        let mut meta = None;
        // Only the `meta` box is needed here. A file cut off within its pixels is noticed when they
        // are read.
        while let Some((kind, content)) = file.next_box()? {
            match &kind {
                b"ftyp" => {
                    container.brands = content.chunks_exact(4).take(64).map(four_bytes).collect();
                }
                b"meta" => meta = Some(content),
                _ => continue,
            }
            if meta.is_some() && !container.brands.is_empty() {
                break;
            }
        }
        let mut meta = BoxReader(meta.ok_or(Missing("meta"))?);
        meta.version_and_flags()?;
        let mut primary = None;
        let mut associations = Vec::new();
        let mut locations = Vec::new();
        while let Some((kind, content)) = meta.next_box()? {
            match &kind {
                b"pitm" => primary = Some(parse_primary_item(content)?),
                b"iinf" => container.parse_item_infos(content)?,
                b"iloc" if locations.len() == MAX_TABLES => return Err(TooMuch("iloc")),
                b"iloc" => locations.push(content),
                b"iref" => container.parse_item_references(content)?,
                b"idat" => container.idat = content,
                b"iprp" => {
                    let mut inner = BoxReader(content);
                    while let Some((kind, content)) = inner.next_box()? {
                        match &kind {
                            b"ipco" => container.parse_item_properties(content)?,
                            b"ipma" if associations.len() == MAX_TABLES => {
                                return Err(TooMuch("ipma"));
                            }
                            b"ipma" => associations.push(content),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        container.primary = primary.ok_or(Missing("pitm"))?;
        // These name items and properties, which may come after them.
        let mut extents_left = MAX_EXTENTS;
        locations
            .into_iter()
            .try_for_each(|content| container.parse_item_locations(content, &mut extents_left))?;
        associations
            .into_iter()
            .try_for_each(|content| container.parse_property_associations(content))?;
        Ok(container)
    }

    fn parse_item_infos(&mut self, content: &[u8]) -> Result<()> {
        let mut reader = BoxReader(content);
        let wide = reader.version_and_flags()?.0 != 0;
        // The number of items follows, but the box ends where it ends.
        reader.id(wide)?;
        while let Some((kind, content)) = reader.next_box()? {
            if &kind != b"infe" {
                continue;
            }
            let mut entry = BoxReader(content);
            let (version, flags) = entry.version_and_flags()?;
            let id = match version {
                2 => u32::from(entry.u16()?),
                3 => entry.u32()?,
                _ => return Err(Unsupported("an item of the QuickTime kind")),
            };
            // Protection is not looked at.
            entry.u16()?;
            let kind = entry.four()?;
            if self.items.len() >= MAX_ITEMS {
                return Err(TooMuch("iinf"));
            }
            let hidden = flags & 1 == 1;
            self.items.entry(id).or_insert(HeifItem {
                kind,
                hidden,
                in_idat: false,
                extents: Vec::new(),
                properties: Vec::new(),
            });
        }
        Ok(())
    }

    fn parse_item_locations(&mut self, content: &[u8], extents_left: &mut usize) -> Result<()> {
        let mut reader = BoxReader(content);
        let version = reader.version_and_flags()?.0;
        let sizes = reader.u16()?;
        let (offset_bytes, length_bytes) = (sizes >> 12, sizes >> 8 & 0xF);
        let (base_bytes, index_bytes) =
            (sizes >> 4 & 0xF, if version == 0 { 0 } else { sizes & 0xF });
        let wide = version >= 2;
        let count = reader.id(wide)?;
        for _ in 0..count {
            let id = reader.id(wide)?;
            let method = if version == 0 { 0 } else { reader.u16()? & 0xF };
            // The data reference is taken to be this file.
            reader.u16()?;
            let base = reader.number(base_bytes)?;
            let mut extents = Vec::new();
            for _ in 0..reader.u16()? {
                *extents_left = extents_left.checked_sub(1).ok_or(TooMuch("iloc"))?;
                reader.number(index_bytes)?;
                let offset =
                    base.checked_add(reader.number(offset_bytes)?).ok_or(Contradiction("iloc"))?;
                extents.push((offset, reader.number(length_bytes)?));
            }
            let Some(item) = self.items.get_mut(&id) else { continue };
            // Items that are built from other items are not read, so they stay without extents.
            if item.extents.is_empty() && method < 2 {
                item.extents = extents;
                item.in_idat = method == 1;
            }
        }
        Ok(())
    }

    fn parse_item_references(&mut self, content: &[u8]) -> Result<()> {
        let mut reader = BoxReader(content);
        let wide = reader.version_and_flags()?.0 != 0;
        let known: usize = self.references.iter().map(|reference| reference.to.len() + 1).sum();
        let mut left = MAX_REFERENCES.saturating_sub(known);
        while let Some((kind, content)) = reader.next_box()? {
            let mut entry = BoxReader(content);
            let from = entry.id(wide)?;
            let count = usize::from(entry.u16()?);
            left = left.checked_sub(count + 1).ok_or(TooMuch("iref"))?;
            let to = (0..count).map(|_| entry.id(wide)).collect::<Result<_>>()?;
            self.references.push(ItemReference { kind, from, to });
        }
        Ok(())
    }

    fn parse_item_properties(&mut self, content: &'s [u8]) -> Result<()> {
        let mut reader = BoxReader(content);
        while let Some((kind, content)) = reader.next_box()? {
            if self.properties.len() > usize::from(u16::MAX) {
                return Err(TooMuch("ipco"));
            }
            // A property that can't be read says nothing. What needs it fails later.
            self.properties.push(parse_property(kind, content).unwrap_or(ItemProperty::Other));
        }
        Ok(())
    }

    fn parse_property_associations(&mut self, content: &[u8]) -> Result<()> {
        let mut reader = BoxReader(content);
        let (version, flags) = reader.version_and_flags()?;
        for _ in 0..reader.u32()? {
            let id = reader.id(version >= 1)?;
            for _ in 0..reader.u8()? {
                let index = if flags & 1 == 1 {
                    reader.u16()? & 0x7FFF
                } else {
                    u16::from(reader.u8()? & 0x7F)
                };
                // Indexes count from one, and zero is none.
                if let Some(index) = usize::from(index).checked_sub(1)
                    && index < self.properties.len()
                    && let Some(item) = self.items.get_mut(&id)
                {
                    if item.properties.len() >= MAX_PROPERTIES {
                        return Err(TooMuch("ipma"));
                    }
                    item.properties.push(index);
                }
            }
        }
        Ok(())
    }

    pub(super) fn item(&self, id: u32) -> Result<&HeifItem> {
        self.items.get(&id).ok_or(NoSuchItem)
    }

    pub(super) fn properties_of(&self, id: u32) -> impl Iterator<Item = &ItemProperty<'s>> {
        let indexes = self.items.get(&id).map_or(&[][..], |item| &item.properties);
        indexes.iter().filter_map(|index| self.properties.get(*index))
    }

    pub(super) fn size_of(&self, id: u32) -> Result<(u32, u32)> {
        let size = self.properties_of(id).find_map(|property| match property {
            ItemProperty::Size(width, height) => Some((*width, *height)),
            _ => None,
        });
        let (width, height) = size.ok_or(Missing("ispe"))?;
        if width == 0 || height == 0 { Err(Contradiction("ispe")) } else { Ok((width, height)) }
    }

    /// Returns what the decoder of a coded picture has to know first (`hvcC`).
    #[cfg(feature = "heic")]
    pub(super) fn configuration(&self, id: u32) -> Option<&'s [u8]> {
        self.properties_of(id).find_map(|property| match property {
            ItemProperty::Configuration(bytes) => Some(*bytes),
            _ => None,
        })
    }

    /// Returns the number of bytes of an item, from its extents.
    pub(super) fn data_bytes(&self, id: u32) -> u64 {
        let Some(item) = self.items.get(&id) else { return 0 };
        let whole = if item.in_idat { self.idat.len() } else { self.source.len() } as u64;
        let lengths =
            item.extents.iter().map(|(_, length)| if *length == 0 { whole } else { *length });
        lengths.fold(0, u64::saturating_add)
    }

    pub(super) fn source_bytes(&self) -> u64 {
        self.source.len() as u64
    }

    /// Returns the bytes of an item, never more than the file has.
    pub(super) fn data(&self, id: u32) -> Result<Cow<'s, [u8]>> {
        let item = self.item(id)?;
        let source = if item.in_idat { self.idat } else { self.source };
        let extent = |(offset, length): &(u64, u64)| {
            let start = usize::try_from(*offset).map_err(|_| Truncated)?;
            let rest = source.get(start..).ok_or(Truncated)?;
            let length = usize::try_from(*length).map_err(|_| Truncated)?;
            if length == 0 { Ok(rest) } else { rest.get(..length).ok_or(Truncated) }
        };
        if let [only] = &item.extents[..] {
            return extent(only).map(Cow::Borrowed);
        }
        let mut bytes = Vec::new();
        for piece in &item.extents {
            let piece = extent(piece)?;
            if bytes.len() + piece.len() > source.len() {
                return Err(Contradiction("iloc"));
            }
            bytes.extend_from_slice(piece);
        }
        Ok(Cow::Owned(bytes))
    }

    pub(super) fn references_from(&self, from: u32, kind: [u8; 4]) -> &[u32] {
        self.references
            .iter()
            .find(|reference| reference.from == from && reference.kind == kind)
            .map_or(&[], |reference| &reference.to)
    }

    /// Whether an item is the alpha of others.
    pub(super) fn is_alpha(&self, id: u32) -> bool {
        self.properties_of(id).any(|property| {
            matches!(
                property,
                ItemProperty::Auxiliary(
                    b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha" | b"urn:mpeg:hevc:2015:auxid:1"
                )
            )
        })
    }

    /// Returns the item that holds the alpha of a picture.
    pub(super) fn alpha_of(&self, id: u32) -> Option<u32> {
        self.references
            .iter()
            .filter(|reference| &reference.kind == b"auxl" && reference.to.contains(&id))
            .map(|reference| reference.from)
            .find(|from| self.is_alpha(*from))
    }
}

fn parse_primary_item(content: &[u8]) -> Result<u32> {
    let mut reader = BoxReader(content);
    let version = reader.version_and_flags()?.0;
    reader.id(version != 0)
}

fn parse_property(kind: [u8; 4], content: &[u8]) -> Result<ItemProperty<'_>> {
    let mut reader = BoxReader(content);
    Ok(match &kind {
        b"ispe" => {
            reader.version_and_flags()?;
            ItemProperty::Size(reader.u32()?, reader.u32()?)
        }
        b"hvcC" | b"av1C" => ItemProperty::Configuration(content),
        b"colr" => match &reader.four()? {
            b"nclx" => ItemProperty::Cicp(Cicp {
                primaries: reader.u16()?,
                transfer: reader.u16()?,
                matrix: reader.u16()?,
                full_range: reader.u8()? & 0x80 != 0,
            }),
            b"prof" | b"rICC" => ItemProperty::Profile(reader.0),
            _ => ItemProperty::Other,
        },
        b"irot" => ItemProperty::Rotation(reader.u8()? & 3),
        b"imir" => ItemProperty::Mirror(reader.u8()? & 1 == 0),
        b"clap" => {
            let mut fields = [0; 8];
            for field in &mut fields {
                *field = reader.u32()?;
            }
            ItemProperty::Aperture(fields)
        }
        b"auxC" => {
            reader.version_and_flags()?;
            ItemProperty::Auxiliary(reader.0.split(|byte| *byte == 0).next().unwrap_or_default())
        }
        _ => ItemProperty::Other,
    })
}

fn four_bytes(bytes: &[u8]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

/// Takes big-endian numbers and boxes from the front of a slice.
pub(super) struct BoxReader<'s>(pub(super) &'s [u8]);

impl<'s> BoxReader<'s> {
    fn take(&mut self, count: usize) -> Result<&'s [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn four(&mut self) -> Result<[u8; 4]> {
        self.take(4).map(four_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.four().map(u32::from_be_bytes)
    }

    /// Reads a number of 32 bits if `wide`, else of 16.
    pub(super) fn id(&mut self, wide: bool) -> Result<u32> {
        if wide { self.u32() } else { self.u16().map(u32::from) }
    }

    /// Reads a number with a sign, of 32 bits if `wide`, else of 16.
    pub(super) fn offset(&mut self, wide: bool) -> Result<i64> {
        if wide {
            self.u32().map(|offset| offset.cast_signed().into())
        } else {
            self.u16().map(|offset| offset.cast_signed().into())
        }
    }

    /// Reads a number of `bytes` bytes, at most eight. No bytes mean zero.
    fn number(&mut self, bytes: u16) -> Result<u64> {
        if bytes > 8 {
            return Err(Contradiction("iloc"));
        }
        Ok(self.take(bytes.into())?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn version_and_flags(&mut self) -> Result<(u8, u32)> {
        let word = self.u32()?;
        Ok((word.to_be_bytes()[0], word & 0x00FF_FFFF))
    }

    /// Returns the type and content of the next box. The last one may be shorter than it says, as
    /// in a file that was cut off.
    pub(super) fn next_box(&mut self) -> Result<Option<([u8; 4], &'s [u8])>> {
        if self.0.len() < 8 {
            return Ok(None);
        }
        let size = u64::from(self.u32()?);
        let kind = self.four()?;
        let content = match size {
            0 => u64::MAX,
            1 => {
                let high = u64::from(self.u32()?) << 32;
                (high | u64::from(self.u32()?)).checked_sub(16).ok_or(Contradiction("box"))?
            }
            _ => size.checked_sub(8).ok_or(Contradiction("box"))?,
        };
        let content = usize::try_from(content).unwrap_or(usize::MAX).min(self.0.len());
        Ok(Some((kind, self.take(content)?)))
    }
}
