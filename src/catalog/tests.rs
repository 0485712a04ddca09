//! The catalog under test: against lists, by chi-square, and as images come and go.

use std::collections::{HashMap, HashSet};
use std::env;
use std::sync::Arc;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::filter_cache::CACHED_FILTERS;
use super::*;
use crate::image::{ImageId, Orientation};

/// An image whose size, tags and animation follow from its ordinal.
#[derive(Clone)]
struct Sample {
    id: ImageId,
    ordinal: u32,
    width: u32,
    height: u32,
    animated: bool,
    tags: Vec<&'static str>,
}

impl Sample {
    fn new(ordinal: u32) -> Self {
        let tag = |every: u32, tag| ordinal.is_multiple_of(every).then_some(tag);
        Self {
            id: ImageId::of(&ordinal.to_le_bytes()),
            ordinal,
            width: 100 + ordinal * 7 % 50,
            height: 100 + ordinal * 11 % 50,
            animated: ordinal % 5 == 1,
            tags: [tag(2, "even"), tag(3, "third"), tag(100, "rare")]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    fn entry(&self) -> CatalogEntry<'_> {
        let mut stamp = [0; 8];
        stamp[..4].copy_from_slice(&self.ordinal.to_le_bytes());
        stamp[4] = self.animated.into();
        stamp[5] = u8::try_from(self.tags.len()).unwrap();
        CatalogEntry {
            id: self.id,
            stamp,
            ordinal: self.ordinal,
            width: self.width,
            height: self.height,
            animated: self.animated,
            tags: &self.tags,
        }
    }

    fn meets(&self, filter: &Filter) -> bool {
        filter.tags.iter().all(|term| self.tags.contains(&term.tag.as_str()) == term.wanted)
            && filter
                .orientation
                .is_none_or(|wanted| Orientation::of(self.width, self.height) == wanted)
            && filter.min_width.is_none_or(|least| self.width >= least)
            && filter.max_width.is_none_or(|most| self.width <= most)
            && filter.min_height.is_none_or(|least| self.height >= least)
            && filter.max_height.is_none_or(|most| self.height <= most)
            && filter.animated.is_none_or(|animated| self.animated == animated)
    }
}

fn by_id(samples: &[Sample]) -> Vec<&Sample> {
    let mut samples: Vec<&Sample> = samples.iter().collect();
    samples.sort_by_key(|sample| sample.id);
    samples
}

fn catalog_of(samples: &[Sample]) -> Arc<Catalog> {
    let mut builder = CatalogBuilder::default();
    by_id(samples).into_iter().for_each(|sample| builder.push(sample.entry()));
    Arc::new(builder.build(1))
}

fn catalog(ordinals: impl IntoIterator<Item = u32>) -> Arc<Catalog> {
    catalog_of(&ordinals.into_iter().map(Sample::new).collect::<Vec<_>>())
}

fn tag(tag: &str, wanted: bool) -> TagTerm {
    TagTerm { tag: tag.into(), wanted }
}

/// Random numbers for one test. A failing test prints the seed, which the environment variable
/// `IMAGEPOOL_TEST_SEED` takes; proptest's own is `PROPTEST_RNG_SEED`.
fn random() -> StdRng {
    let given = env::var("IMAGEPOOL_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |seed| seed.parse().expect("a seed is a number"));
    println!("IMAGEPOOL_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Filters of every kind; each leaves some hundred of a thousand images.
fn filters() -> Vec<Filter> {
    let any = Filter::default;
    vec![
        Filter { orientation: Some(Orientation::Landscape), ..any() },
        Filter { animated: Some(false), tags: vec![tag("even", true)], ..any() },
        Filter { tags: vec![tag("even", false), tag("third", false)], ..any() },
        Filter { min_width: Some(110), max_width: Some(140), min_height: Some(120), ..any() },
        Filter {
            orientation: Some(Orientation::Portrait),
            tags: vec![tag("rare", false), tag("third", true)],
            max_height: Some(145),
            ..any()
        },
    ]
}

/// Asserts that the counts are as even as chance makes them: p between 0.001 and 0.999 by the
/// Wilson-Hilferty approximation of chi-square.
#[track_caller]
fn assert_uniform(counts: impl ExactSizeIterator<Item = u32> + Clone, what: &str) {
    let classes = counts.len() as f64;
    let expected = f64::from(counts.clone().sum::<u32>()) / classes;
    assert!(expected > 20.0, "{what}: too few draws");
    let statistic: f64 = counts.map(|count| (f64::from(count) - expected).powi(2) / expected).sum();
    let freedom = classes - 1.0;
    let spread = 2.0 / (9.0 * freedom);
    let deviations = ((statistic / freedom).cbrt() - (1.0 - spread)) / spread.sqrt();
    assert!(
        deviations.abs() < 3.09,
        "{what}: chi-square {statistic} with {freedom} degrees of freedom"
    );
}

/// Counts how often each member was drawn, and checks that nothing else was.
fn count(members: &[ImageId], draws: impl Iterator<Item = ImageId>) -> Vec<u32> {
    let mut counts: HashMap<ImageId, u32> = members.iter().map(|id| (*id, 0)).collect();
    for id in draws {
        *counts.get_mut(&id).expect("only what matches is drawn") += 1;
    }
    counts.into_values().collect()
}

#[test]
fn picks_are_uniform_with_and_without_filters() {
    // A third of all ordinals are gaps.
    let samples: Vec<Sample> =
        (0..1_500).filter(|ordinal| ordinal % 3 != 2).map(Sample::new).collect();
    let catalog = catalog_of(&samples);
    let mut random = StdRng::seed_from_u64(1);
    let all: Vec<ImageId> = samples.iter().map(|sample| sample.id).collect();
    let picks = (0..100_000).map(|_| catalog.id(catalog.pick(&mut random).unwrap()));
    assert_uniform(count(&all, picks).into_iter(), "all");
    for filter in filters() {
        let members: Vec<ImageId> =
            samples.iter().filter(|sample| sample.meets(&filter)).map(|sample| sample.id).collect();
        assert!((50..900).contains(&members.len()), "{} of {filter:?}", members.len());
        let matches = catalog.matches(&filter.clone().normalise());
        let draw = |random: &mut StdRng| matches.draw(Draw::Random, random).unwrap();
        let draws = (0..50_000).map(|_| draw(&mut random)).collect::<Vec<_>>();
        assert_uniform(count(&members, draws.into_iter()).into_iter(), &format!("{filter:?}"));
        // Each place of several is as uniform as one.
        let triples = (0..15_000).flat_map(|_| {
            let three = matches.draw_distinct(Draw::Random, 3, &mut random);
            assert_eq!(three.iter().collect::<HashSet<_>>().len(), 3);
            three
        });
        assert_uniform(count(&members, triples).into_iter(), &format!("three of {filter:?}"));
    }
}

#[test]
fn seeds_are_spread_evenly_over_all_matches() {
    let samples: Vec<Sample> =
        (0..1_500).filter(|ordinal| ordinal % 3 != 2).map(Sample::new).collect();
    let catalog = catalog_of(&samples);
    let random = &mut random();
    for filter in [vec![Filter::default()], filters()].concat() {
        let members: Vec<ImageId> =
            samples.iter().filter(|sample| sample.meets(&filter)).map(|sample| sample.id).collect();
        let matches = catalog.matches(&filter.clone().normalise());
        let draws =
            (0..30_000).map(|seed| matches.draw(Draw::Seed(&seed.to_string()), random).unwrap());
        assert_uniform(count(&members, draws).into_iter(), &format!("{filter:?}"));
        // So are those that come second and third.
        let later = (0..15_000).flat_map(|seed| {
            let three = matches.draw_distinct(Draw::Seed(&seed.to_string()), 3, random);
            assert_eq!(Some(three[0]), matches.draw(Draw::Seed(&seed.to_string()), random));
            three[1..].to_vec()
        });
        assert_uniform(
            count(&members, later).into_iter(),
            &format!("second and third of {filter:?}"),
        );
    }
}

/// Returns the images that many seeds give.
fn seeded(catalog: &Arc<Catalog>, filter: &Filter) -> Vec<ImageId> {
    let matches = catalog.matches(filter);
    let random = &mut random();
    (0..20_000)
        .map(|seed| matches.draw(Draw::Seed(&format!("seed {seed}")), random).unwrap())
        .collect()
}

#[test]
fn an_image_that_comes_takes_only_its_own_seeds() {
    let all = Filter::default();
    // 1,023 and 1,024 are where a power of two is passed.
    for count in [10, 1_000, 1_023, 1_024] {
        let before = seeded(&catalog(0..count), &all);
        let after = seeded(&catalog(0..=count), &all);
        let new = Sample::new(count).id;
        let moved: Vec<ImageId> = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
            .map(|(_, id)| *id)
            .collect();
        assert!(moved.iter().all(|id| *id == new), "a seed went to an image that was there before");
        let share = moved.len() as f64 / before.len() as f64;
        let expected = 1.0 / f64::from(count + 1);
        assert!((expected * 0.5..expected * 2.0).contains(&share), "{share} of all seeds moved");
        assert!(count < 1_000 || share < 0.004, "{share} of all seeds moved");
    }
}

#[test]
fn an_image_that_goes_gives_back_only_its_own_seeds() {
    let before = catalog(0..1_000);
    for gone in [0, 1, 511, 512, 999] {
        let after = catalog((0..1_000).filter(|ordinal| *ordinal != gone));
        let lost = Sample::new(gone).id;
        for (before, after) in
            seeded(&before, &Filter::default()).iter().zip(seeded(&after, &Filter::default()))
        {
            assert!(*before == after || *before == lost);
        }
    }
}

#[test]
fn a_seeds_image_stays_under_every_filter_that_it_meets() {
    let samples: Vec<Sample> = (0..1_000).map(Sample::new).collect();
    let catalog = catalog_of(&samples);
    let unfiltered = seeded(&catalog, &Filter::default());
    for filter in filters() {
        let members: HashSet<ImageId> =
            samples.iter().filter(|sample| sample.meets(&filter)).map(|sample| sample.id).collect();
        for (without, with) in unfiltered.iter().zip(seeded(&catalog, &filter.normalise())) {
            assert!(!members.contains(without) || *without == with);
        }
    }
}

#[test]
fn a_shuffle_shows_every_match_once_in_each_round() {
    let random = &mut random();
    for total in [1, 2, 3, 1_000, 100_003] {
        let catalog = catalog(0..total);
        let matches = catalog.matches(&Filter::default());
        for start in [0, u64::from(total) * 3] {
            let shown: HashSet<ImageId> = (start..start + u64::from(total))
                .map(|index| matches.draw(Draw::Shuffle("slides", index), random).unwrap())
                .collect();
            assert_eq!(shown.len(), total as usize);
        }
        let last = matches.draw_distinct(Draw::Shuffle("slides", u64::MAX), 30, random);
        assert_eq!(last.len(), 30.min(total as usize));
        assert_eq!(Some(last[0]), matches.draw(Draw::Shuffle("slides", u64::MAX), random));
    }
    let filter = Filter { tags: vec![tag("third", true)], ..Filter::default() };
    let matches = catalog(0..1_000).matches(&filter);
    let shown: HashSet<ImageId> =
        (0..334).map(|index| matches.draw(Draw::Shuffle("", index), random).unwrap()).collect();
    assert_eq!((matches.len(), shown.len()), (334, 334));
}

#[test]
fn nothing_is_drawn_where_nothing_matches() {
    let random = &mut random();
    assert_eq!(catalog([]).pick(random), None);
    let missing = Filter { tags: vec![tag("no such tag", true)], ..Filter::default() };
    for matches in [catalog([]).matches(&Filter::default()), catalog(0..10).matches(&missing)] {
        assert!(matches.is_empty());
        for draw in [Draw::Random, Draw::Seed("a"), Draw::Shuffle("a", 7)] {
            assert_eq!(matches.draw(draw, random), None);
            assert_eq!(matches.draw_distinct(draw, 3, random), []);
        }
        assert_eq!(matches.newest(None, 3), []);
    }
}

#[test]
fn pages_show_each_image_once_while_others_come_and_go() {
    let filter = Filter { tags: vec![tag("even", true)], ..Filter::default() };
    let mut seen = Vec::new();
    let mut cursor = None;
    for round in 0..100 {
        // Before each page ten images come, and every seventh of those that were there is gone.
        let left = (0..200 + 10 * round).filter(|ordinal| round == 0 || ordinal % 7 != 3);
        let page = catalog(left).matches(&filter).newest(cursor, 9);
        let Some((last, _)) = page.last() else { break };
        cursor = Some(*last);
        seen.extend(page.iter().map(|(ordinal, id)| {
            assert_eq!(*id, Sample::new(*ordinal).id);
            *ordinal
        }));
    }
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
    let stayed: Vec<u32> =
        (0..200).rev().filter(|ordinal| ordinal % 2 == 0 && ordinal % 7 != 3).collect();
    assert!(stayed.iter().all(|ordinal| seen.contains(ordinal)), "{seen:?}");
}

/// Makes the catalog of `samples` over an earlier one. Returns with it how many were pushed anew.
fn catalog_over(earlier: &Catalog, samples: &[Sample]) -> (Arc<Catalog>, usize) {
    let mut samples = by_id(samples);
    let mut builder = CatalogBuilder::over(Some(earlier), 0);
    samples.retain(|sample| {
        !builder.keep(sample.id, sample.entry().stamp) && {
            builder.push(sample.entry());
            true
        }
    });
    (Arc::new(builder.build(2)), samples.len())
}

#[test]
fn what_was_checked_stays_so_as_images_come_and_go() {
    let before = catalog(0..150);
    for ordinal in 0..100 {
        let position = before.position(Sample::new(ordinal).id).unwrap();
        before.mark_checked(position, None);
        before.mark_checked(position, Some(2));
    }
    let mut samples: Vec<Sample> = (50..200).map(Sample::new).collect();
    for retagged in &mut samples[20..30] {
        retagged.tags.push("new");
    }
    let (after, told) = catalog_over(&before, &samples);
    assert_eq!(told, 50 + 10, "those that came and those that changed");
    for ordinal in 0..200 {
        let id = Sample::new(ordinal).id;
        let checked = |catalog: &Catalog, rendition| {
            catalog.position(id).is_some_and(|position| catalog.is_checked(position, rendition))
        };
        assert_eq!(checked(&before, Some(2)), ordinal < 100, "image {ordinal}");
        assert_eq!(checked(&after, None), (50..100).contains(&ordinal), "image {ordinal}");
        let same = (50..70).contains(&ordinal) || (80..100).contains(&ordinal);
        assert_eq!(checked(&after, Some(2)), same, "image {ordinal}");
        assert!(!checked(&after, Some(7)));
    }
}

proptest! {
    #[test]
    fn a_catalog_over_another_is_the_one_made_anew(
        earlier in proptest::collection::btree_set(0_u32..300, 0..200),
        gone in proptest::collection::btree_set(0_u32..300, 0..50),
        changed in proptest::collection::btree_set(0_u32..300, 0..50),
        came in 300_u32..400,
    ) {
        let before = catalog(earlier.iter().copied());
        let stayed = earlier.iter().copied().filter(|ordinal| !gone.contains(ordinal));
        let mut samples: Vec<Sample> = stayed.chain(300..came).map(Sample::new).collect();
        for sample in samples.iter_mut().filter(|sample| changed.contains(&sample.ordinal)) {
            sample.animated = !sample.animated;
            sample.tags = if sample.tags.is_empty() { vec!["new"] } else { Vec::new() };
        }
        let (over, _) = catalog_over(&before, &samples);
        let anew = catalog_of(&samples);
        let new = Filter { tags: vec![tag("new", true)], ..Filter::default() };
        for filter in filters().iter().chain([&Filter::default(), &new]) {
            let (over, anew) = (over.matches(filter), anew.matches(filter));
            prop_assert_eq!(over.newest(None, 1_000), anew.newest(None, 1_000), "{:?}", filter);
            let first = |matches: &Matches| {
                matches.draw(Draw::Seed("a seed"), &mut StdRng::seed_from_u64(1))
            };
            prop_assert_eq!(first(&over), first(&anew));
        }
        prop_assert_eq!(over.tags.len(), anew.tags.len());
        for sample in &samples {
            prop_assert!(over.position(sample.id).is_some());
        }
    }
}

#[test]
fn the_filters_used_last_are_kept() {
    let catalog = catalog(0..100);
    let filter = |least| Filter { min_width: Some(least), ..Filter::default() };
    let kept = u32::try_from(CACHED_FILTERS).unwrap();
    for least in 0..=kept {
        assert!(catalog.known_matches(&filter(least)).is_none());
        assert!(!catalog.matches(&filter(least)).is_empty());
        assert!(catalog.known_matches(&filter(0)).is_some());
    }
    assert!(catalog.known_matches(&filter(1)).is_none(), "it was not used for longest");
    assert!(catalog.known_matches(&filter(kept)).is_some());
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let term = (proptest::sample::select(vec!["even", "third", "rare", "none"]), any::<bool>())
        .prop_map(|(name, wanted)| tag(name, wanted));
    let orientation = proptest::option::of(proptest::sample::select(vec![
        Orientation::Landscape,
        Orientation::Portrait,
        Orientation::Square,
    ]));
    let bound = || proptest::option::weighted(0.3, 95_u32..155);
    let bounds = (bound(), bound(), bound(), bound());
    let tags = proptest::collection::vec(term, 0..4);
    (tags, orientation, bounds, any::<Option<bool>>()).prop_map(
        |(tags, orientation, bounds, animated)| {
            let (min_width, max_width, min_height, max_height) = bounds;
            Filter { tags, orientation, min_width, max_width, min_height, max_height, animated }
                .normalise()
        },
    )
}

proptest! {
    #[test]
    fn a_filter_finds_what_it_would_find_one_by_one(
        filter in any_filter(),
        ordinals in proptest::collection::btree_set(0_u32..3_000, 0..700),
        seed in any::<u64>(),
    ) {
        let samples: Vec<Sample> = ordinals.iter().map(|ordinal| Sample::new(*ordinal)).collect();
        let matches = catalog_of(&samples).matches(&filter);
        let expected: Vec<(u32, ImageId)> = samples
            .iter()
            .rev()
            .filter(|sample| sample.meets(&filter))
            .map(|sample| (sample.ordinal, sample.id))
            .collect();
        prop_assert_eq!(matches.len() as usize, expected.len());
        prop_assert_eq!(&matches.newest(None, usize::MAX), &expected);
        // However they are drawn, drawing all of them gives each of them once.
        let text = seed.to_string();
        let ids: HashSet<ImageId> = expected.iter().map(|(_, id)| *id).collect();
        for draw in [Draw::Random, Draw::Seed(&text), Draw::Shuffle(&text, seed)] {
            let random = &mut StdRng::seed_from_u64(seed);
            let drawn = matches.draw_distinct(draw, usize::MAX, random);
            prop_assert_eq!(drawn.len(), ids.len());
            prop_assert_eq!(drawn.into_iter().collect::<HashSet<_>>(), ids.clone());
        }
    }
}
