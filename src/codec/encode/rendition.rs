//! Decides which renditions are worth their bytes.

/// The width of a rendition in pixels, and its WebP; empty if the rendition is not kept.
pub(crate) type Rendered = (u16, Vec<u8>);

/// Empties each new rendition that is not smaller in bytes than the next larger one that is kept,
/// or than the image.
///
/// `present` are the widths and lengths of renditions that are kept already. Both lists ascend in
/// width.
pub(crate) fn keep_smaller(image_bytes: u64, present: &[(u16, u64)], new: &mut [Rendered]) {
    let mut present = present.iter().rev().peekable();
    let mut limit = image_bytes;
    for (width, webp) in new.iter_mut().rev() {
        while let Some((_, bytes)) = present.next_if(|(larger, _)| larger > width) {
            limit = limit.min(*bytes);
        }
        let bytes = webp.len() as u64;
        if bytes < limit {
            limit = bytes;
        } else {
            *webp = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendition_must_be_smaller_than_the_next_larger_one_that_is_kept() {
        let kept = |image_bytes, present: &[(u16, u64)], new: &[(u16, usize)]| -> Vec<u16> {
            let mut new: Vec<Rendered> =
                new.iter().map(|(width, bytes)| (*width, vec![0; *bytes])).collect();
            keep_smaller(image_bytes, present, &mut new);
            new.into_iter().filter(|(_, webp)| !webp.is_empty()).map(|(width, _)| width).collect()
        };
        assert_eq!(kept(90, &[], &[(320, 10), (640, 40), (1280, 80)]), [320, 640, 1280]);
        // One of two is dropped; what comes after is compared with what was kept.
        assert_eq!(kept(90, &[], &[(320, 95), (640, 40), (1280, 90)]), [640]);
        assert_eq!(kept(90, &[], &[(320, 39), (640, 40), (1280, 30)]), [1280]);
        assert!(kept(90, &[], &[(320, 91), (640, 90)]).is_empty());
        assert_eq!(kept(90, &[(640, 50)], &[(320, 50), (1280, 80)]), [1280]);
        assert_eq!(kept(90, &[(640, 50)], &[(320, 49), (1280, 60)]), [320, 1280]);
    }
}
