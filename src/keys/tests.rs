//! Keys under test: what verifies, what is remembered, and how a rotation ends a key.

use super::*;

fn record(name: &str, created: u64, expires: Option<u64>) -> (ApiKey, KeyRecord) {
    let key = ApiKey::generate().unwrap();
    let record = KeyRecord::new(&key, name, created, expires).unwrap();
    (key, record)
}

#[test]
fn only_the_right_key_verifies() {
    let (key, record) = record("default", 0, None);
    assert!(record.verify(&key));
    let mut close = key.clone();
    close.0[31] ^= 1;
    assert_eq!(close.id(), key.id());
    assert!(!record.verify(&close));
    assert!(record.phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", record.phc);
}

#[test]
fn a_hash_that_asks_for_more_work_than_ours_is_refused() {
    let (key, mut record) = record("default", 0, None);
    for costly in ["m=4194304,t=2,p=1", "m=19456,t=3,p=1", "m=19456,t=2,p=2"] {
        let phc = record.phc.replace("m=19456,t=2,p=1", costly);
        record.phc = phc;
        assert!(!record.verify(&key));
    }
}

#[test]
fn what_was_proven_is_recalled_and_dropped_with_the_record() {
    let memory_key = [7; 32];
    let (key, record) = record("default", 0, None);
    let (other, _) = self::record("default", 0, None);
    let known = KnownKey::new(record.clone());
    assert_eq!(known.recall(&memory_key, &key), Recall::Unproven);
    known.remember(&memory_key, &key);
    assert_eq!(known.recall(&memory_key, &key), Recall::Right);
    assert_eq!(known.recall(&memory_key, &other), Recall::Wrong);

    let same = KnownKey::new(KeyRecord { expires: Some(9), ..record.clone() }).carry_over(&known);
    assert_eq!(same.recall(&memory_key, &key), Recall::Right);
    let rehashed =
        KnownKey::new(KeyRecord { phc: key.hash().unwrap(), ..record }).carry_over(&known);
    assert_eq!(rehashed.recall(&memory_key, &key), Recall::Unproven);
}

/// A rotation once made a key that was limited to tags one that reads everything.
#[test]
fn a_rotated_key_stays_limited() {
    let limited = |created, tags: &[&str]| {
        let (_, mut record) = record("frame", created, None);
        record.only_tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        record
    };
    for grace in [None, Some(5)] {
        let mut keys = vec![limited(10, &["sea"]), limited(12, &["family"])];
        rotate(&mut keys, record("frame", 20, None).1, grace).unwrap();
        rotate(&mut keys, record("frame", 22, None).1, grace).unwrap();
        assert_eq!(keys.last().unwrap().only_tags, ["family"], "{grace:?}");
    }
}

#[test]
fn rotation_ends_the_old_key_at_once_or_after_the_grace() {
    let mut keys = vec![record("default", 10, None).1, record("blog", 10, None).1];
    rotate(&mut keys, record("default", 20, None).1, None).unwrap();
    assert_eq!(
        keys.iter().map(|key| (key.name.as_str(), key.created)).collect::<Vec<_>>(),
        [("blog", 10), ("default", 20)]
    );

    rotate(&mut keys, record("default", 30, None).1, Some(5)).unwrap();
    assert_eq!(keys[1].expires, Some(35));
    assert!(keys[1].live(34) && !keys[1].live(35) && keys[2].live(u64::MAX));

    let refused = rotate(&mut keys, record("nobody", 30, None).1, None);
    assert!(matches!(refused, Err(KeyError::NoSuchName(_))));
    assert!(matches!(add(&mut keys, record("blog", 40, None).1), Err(KeyError::NameTaken(_))));
}

#[test]
fn debug_output_never_shows_the_secret() {
    let key = ApiKey::generate().unwrap();
    assert!(!format!("{key:?}").contains(&key.reveal()[16..]));
}
