//! The store in real folders.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use super::super::entry::Trigger;
use super::super::file::rounded;
use super::super::folder::LOCK;
use super::*;

const GROUPED: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x03\0\0\0\0\0\0\0\0\0";

fn spec(path: &Path) -> StorageSpec {
    StorageSpec {
        path: path.to_owned(),
        bounds: Bounds {
            max_bytes: 1 << 20,
            per_target: 100_000,
            max_age: Duration::from_hours(720),
        },
    }
}

/// One that differs in its goroutines.
fn new(goroutines: u64, trigger: Trigger) -> NewSnapshot {
    NewSnapshot {
        target: "http://a:1".to_owned(),
        module: "default".to_owned(),
        taken: SystemTime::now(),
        trigger,
        goroutines,
        body: GROUPED.into(),
    }
}

fn keep(store: &Store, goroutines: u64) -> SnapshotId {
    store.keep(&new(goroutines, Trigger::Manual)).unwrap()
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != LOCK)
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_kept_is_there_now_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/on/the/way");
    let store = Store::open(&spec(&path));
    assert!(store.is_usable() && store.list().is_empty());
    let new = new(7, Trigger::Leak);
    let id = store.keep(&new).unwrap();
    let expected = Entry {
        id: id.clone(),
        target: new.target.clone(),
        module: new.module.clone(),
        taken: rounded(new.taken),
        trigger: Trigger::Leak,
        goroutines: 7,
        bytes: store.bytes(),
    };
    let check = |store: &Store| {
        assert_eq!(store.list(), std::slice::from_ref(&expected));
        let (entry, content) = store.read(&id).unwrap();
        assert_eq!(entry, expected);
        assert_eq!(content, fs::read(path.join(format!("{id}.pb.gz"))).unwrap());
        assert_eq!(store.bytes(), u64::try_from(content.len()).unwrap());
    };
    check(&store);
    drop(store);
    let store = Store::open(&spec(&path));
    check(&store);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(format!("{id}.pb.gz"))), 0o600);
    store.delete(&id).unwrap();
    assert!(matches!(store.delete(&id), Err(StoreError::Unknown { .. })));
    assert!(matches!(store.read(&id), Err(StoreError::Unknown { .. })));
    assert_eq!((store.bytes(), names(&path).len()), (0, 0));
}

#[test]
fn newest_is_first_and_bounds_hold_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&spec(folder.path()));
    for number in 0..5 {
        let new = NewSnapshot {
            taken: UNIX_EPOCH + Duration::from_secs(1_000_000 + number),
            ..new(number, Trigger::Manual)
        };
        store.keep(&new).unwrap();
    }
    let numbers =
        |store: &Store| -> Vec<u64> { store.list().iter().map(|entry| entry.goroutines).collect() };
    assert_eq!(numbers(&store), [4, 3, 2, 1, 0]);
    let bounds = Bounds {
        per_target: 3,
        ..spec(folder.path()).bounds
    };
    store.set_bounds(bounds);
    assert_eq!(numbers(&store), [4, 3, 2]);
    let each = store.bytes() / 3;
    store.set_bounds(Bounds {
        max_bytes: each * 2 + 1,
        ..bounds
    });
    assert_eq!(numbers(&store), [4, 3]);
    assert_eq!(names(folder.path()).len(), 2);
    store.set_bounds(Bounds {
        max_bytes: each - 1,
        ..bounds
    });
    assert!(matches!(
        store.keep(&new(9, Trigger::Manual)),
        Err(StoreError::TooLarge { .. })
    ));
    drop(store);
    // Bounds that shrank while it was away hold from the start.
    let store = Store::open(&spec(folder.path()));
    keep(&store, 1);
    keep(&store, 2);
    drop(store);
    let mut tight = spec(folder.path());
    tight.bounds.per_target = 1;
    assert_eq!(Store::open(&tight).list().len(), 1);
}

#[test]
fn what_others_wrote_cut_or_replaced_is_left_alone_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let store = Store::open(&spec(path));
    let ids: Vec<SnapshotId> = (0..5).map(|number| keep(&store, number)).collect();
    drop(store);
    let file = |id: &SnapshotId| path.join(format!("{id}.pb.gz"));
    // Cut; replaced by another; copied under another name; a fifo and a link that look like snapshots; others' files.
    let content = fs::read(file(&ids[0])).unwrap();
    fs::write(file(&ids[0]), &content[..content.len() - 1]).unwrap();
    fs::write(file(&ids[1]), GROUPED).unwrap();
    fs::copy(
        file(&ids[2]),
        path.join("20200101T000000Z-leak-000000000001.pb.gz"),
    )
    .unwrap();
    symlink(
        file(&ids[2]),
        path.join("20200101T000000Z-leak-000000000002.pb.gz"),
    )
    .unwrap();
    let fifo = path.join("20200101T000000Z-leak-000000000003.pb.gz");
    let made = std::process::Command::new("mkfifo").arg(fifo).status();
    assert!(made.unwrap().success());
    fs::write(path.join("notes.txt"), "mine").unwrap();
    fs::write(
        path.join(".20200101T000000Z-leak-00000000000.tmp"),
        "not quite",
    )
    .unwrap();
    fs::create_dir(path.join("lost+found")).unwrap();
    // Under way when it crashed.
    fs::write(path.join(".20200101T000000Z-leak-000000000001.tmp"), "half").unwrap();
    let before = names(path);
    let store = Store::open(&spec(path));
    let listed: Vec<SnapshotId> = store.list().into_iter().map(|entry| entry.id).collect();
    for (id, there) in ids.iter().zip([false, false, true, true, true]) {
        assert_eq!(listed.contains(id), there, "{id}");
    }
    assert_eq!((listed.len(), store.skipped()), (3, 7));
    let after = names(path);
    let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
    assert_eq!(gone, [".20200101T000000Z-leak-000000000001.tmp"]);
    // One is changed in its middle while it is listed, one removed.
    let mut content = fs::read(file(&ids[3])).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(file(&ids[3]), content).unwrap();
    assert!(matches!(
        store.read(&ids[3]),
        Err(StoreError::Damaged { .. })
    ));
    fs::remove_file(file(&ids[4])).unwrap();
    assert!(matches!(
        store.read(&ids[4]),
        Err(StoreError::Unknown { .. })
    ));
    assert_eq!((store.list().len(), store.skipped()), (1, 8));
    assert!(store.bytes() > 0);
}

#[test]
fn a_folder_that_comes_and_goes_is_used_when_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    // A file stands in its place.
    fs::write(&path, "").unwrap();
    let store = Store::open(&spec(&path));
    assert!(!store.is_usable() && store.list().is_empty());
    assert!(matches!(
        store.keep(&new(1, Trigger::Manual)),
        Err(StoreError::Io(_))
    ));
    fs::remove_file(&path).unwrap();
    keep(&store, 1);
    assert!(store.is_usable());
    // Removed with all that is in it.
    fs::remove_dir_all(&path).unwrap();
    assert!(store.keep(&new(2, Trigger::Manual)).is_err());
    assert!(!store.is_usable());
    keep(&store, 3);
    assert!(store.is_usable());
    assert_eq!(store.list().len(), 1);
    assert_eq!(names(&path).len(), 1);
}

#[test]
fn one_process_at_a_time_writes() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(&spec(folder.path()));
    let id = keep(&first, 1);
    let second = Store::open(&spec(folder.path()));
    assert!(!second.is_usable());
    assert!(second.keep(&new(2, Trigger::Manual)).is_err());
    assert!(second.delete(&id).is_err());
    // It reads what was there.
    assert!(second.read(&id).is_ok());
    keep(&first, 3);
    drop(first);
    keep(&second, 4);
    assert_eq!(second.list().len(), 3);
}

#[test]
fn clocks_that_jump_delete_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec(folder.path());
    spec.bounds.max_age = Duration::from_mins(1);
    let store = Store::open(&spec);
    let moments = [
        UNIX_EPOCH - Duration::from_hours(1),
        UNIX_EPOCH,
        SystemTime::now() + Duration::from_hours(24 * 365 * 50),
        UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 200),
        SystemTime::now(),
    ];
    for taken in moments {
        let new = NewSnapshot {
            taken,
            ..new(1, Trigger::Baseline)
        };
        let id = store.keep(&new).unwrap();
        assert_eq!(store.read(&id).unwrap().0.taken, rounded(taken));
    }
    store.tidy();
    assert_eq!(store.list().len(), moments.len());
    drop(store);
    // A minute-old clock is not believed either after a restart.
    assert_eq!(Store::open(&spec).list().len(), moments.len());
    let store = Store::open(&spec);
    let hour = Duration::from_hours(1);
    let like = new(1, Trigger::Baseline);
    let since = |ago| store.has_since(&like, SystemTime::now() - ago);
    assert!(since(hour));
    assert!(
        !since(Duration::ZERO),
        "what is in the future does not count"
    );
    let other = |module: &str, target: &str, trigger| NewSnapshot {
        module: module.to_owned(),
        target: target.to_owned(),
        ..new(1, trigger)
    };
    for other in [
        other("other", "http://a:1", Trigger::Baseline),
        other("default", "http://b:1", Trigger::Baseline),
        other("default", "http://a:1", Trigger::Leak),
    ] {
        assert!(!store.has_since(&other, UNIX_EPOCH), "{other:?}");
    }
}

#[test]
fn ten_thousand_files_are_fine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for number in 0..10_000_u64 {
        let new = NewSnapshot {
            target: format!("http://t{}:1", number % 500),
            taken: UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number),
            ..new(number, Trigger::ALL[usize::try_from(number % 5).unwrap()])
        };
        let id = SnapshotId::new(new.taken, new.trigger, number);
        let (entry, content) = write(&id, &new).unwrap();
        fs::write(path.join(format!("{}.pb.gz", entry.id)), content).unwrap();
    }
    let mut spec = spec(path);
    spec.bounds.max_bytes = 1 << 30;
    let begun = Instant::now();
    let store = Store::open(&spec);
    assert_eq!(store.list().len(), 10_000);
    let before: u64 = fs::read_dir(path)
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(store.bytes(), before);
    for number in 0..5 {
        keep(&store, number);
    }
    // Far below what anybody would notice, far above what a busy machine needs.
    assert!(begun.elapsed() < Duration::from_secs(20));
    spec.bounds.per_target = 2;
    store.set_bounds(spec.bounds);
    assert_eq!(store.list().len(), 501 * 2);
    assert_eq!(names(path).len(), 501 * 2);
}
