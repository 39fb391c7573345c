use std::fs::{File, OpenOptions, rename};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Instant;

use super::*;

const SOON: Duration = Duration::from_secs(30);

fn line(number: u32) -> String {
    format!(
        "gc {number} @{number}.000s 1%: 0.010+0.20+0.020 ms clock, 0.020+0/0.30/0+0.040 ms cpu, 7->9->5 MB, 8 MB goal, 0 MB stacks, 0 MB globals, 2 P\n"
    )
}

fn source(path: &Path) -> GodebugSource {
    GodebugSource {
        name: "a".to_owned(),
        path: path.to_owned(),
        labels: std::collections::BTreeMap::new(),
    }
}

/// Waits until it is so.
fn until(followers: &Followers, what: &str, look: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = Instant::now() + SOON;
    loop {
        let (_, seen) = followers.snapshots().remove(0);
        if look(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited for {what}: {seen:?}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

fn counted(followers: &Followers, cycles: u64) -> Snapshot {
    until(followers, &format!("{cycles} cycles"), |seen| {
        seen.totals.cycles == cycles
    })
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

fn append(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.append(true).create(true).open(path).unwrap()
}

#[test]
fn a_file_is_read_from_its_end_and_through_what_becomes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr.log");
    let mut file = append(&path);
    // Written before anybody followed, and the begin of a line with it.
    file.write_all(&format!("{}gc 2 @", line(1)).into_bytes())
        .unwrap();
    let followers = Followers::default();
    followers.adopt(&[source(&path)]);
    until(&followers, "the file", |seen| seen.open);
    let rest = line(2).split_off(6);
    file.write_all(&format!("{rest}{}", line(3)).into_bytes())
        .unwrap();
    let seen = counted(&followers, 1);
    let totals = &seen.totals;
    assert_eq!(
        (totals.malformed_cycles, totals.lost_cycles, totals.restarts),
        (0, 0, 0)
    );

    // Renamed, and made anew; the old one gets a line more.
    rename(&path, folder.path().join("stderr.log.1")).unwrap();
    file.write_all(line(4).as_bytes()).unwrap();
    let mut new = append(&path);
    new.write_all(line(5).as_bytes()).unwrap();
    let seen = counted(&followers, 3);
    assert_eq!((seen.switches, seen.totals.lost_cycles), (1, 0));

    // Copied and cut, then shorter than it was.
    new.set_len(0).unwrap();
    until(&followers, "the cut", |seen| seen.switches == 2);
    new.write_all(format!("{}{}", line(6), line(8)).as_bytes())
        .unwrap();
    let seen = counted(&followers, 5);
    assert_eq!((seen.totals.lost_cycles, seen.totals.restarts), (1, 0));

    // Removed while nobody has made it anew, then there again with another life of the program in it.
    drop((file, new));
    fs::remove_file(&path).unwrap();
    until(&followers, "its absence", |seen| {
        !seen.open && seen.switches == 3
    });
    let mut again = append(&path);
    again.write_all(line(1).as_bytes()).unwrap();
    let seen = counted(&followers, 6);
    assert_eq!((seen.totals.restarts, seen.failures), (1, 0));
    assert!(seen.open && seen.cycle_at.is_some() && seen.sample_at.is_none());
}

#[test]
fn one_that_is_missing_is_waited_for_and_read_from_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let parent = folder.path().join("later");
    let path = parent.join("stderr.log");
    // At first nothing can be below it, which is a failure; then nothing is, which is none.
    drop(append(&parent));
    let followers = Followers::default();
    followers.adopt(&[source(&path)]);
    let failures = until(&followers, "a look", |seen| seen.failures > 0).failures;
    fs::remove_file(&parent).unwrap();
    fs::create_dir(&parent).unwrap();
    let mut file = File::create(folder.path().join("new")).unwrap();
    file.write_all(format!("{}{}", line(1), line(2)).as_bytes())
        .unwrap();
    rename(folder.path().join("new"), &path).unwrap();
    assert!(counted(&followers, 2).failures <= failures + 1);
}

#[test]
fn what_is_there_and_cannot_be_read_is_no_news_once_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr.log");
    // A link to itself: an error that nobody is exempt from, and not that nothing is there.
    symlink(&path, &path).unwrap();
    let followers = Followers::default();
    followers.adopt(&[source(&path)]);
    until(&followers, "a failure", |seen| seen.failures > 0);
    let old = folder.path().join("old");
    let mut file = append(&old);
    file.write_all(format!("{}{}", line(1), line(2)).as_bytes())
        .unwrap();
    rename(&old, &path).unwrap();
    until(&followers, "the file", |seen| seen.open);
    file.write_all(line(3).as_bytes()).unwrap();
    let seen = until(&followers, "the third cycle", |seen| {
        let last = seen.totals.last_cycle;
        last.is_some_and(|cycle| cycle.number == 3)
    });
    assert_eq!((seen.totals.cycles, seen.totals.lines), (1, 1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_fails_goes_on_in_another_from_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr.log");
    // It opens as a file does, and its first byte cannot be read.
    symlink("/proc/self/mem", &path).unwrap();
    let followers = Followers::default();
    followers.adopt(&[source(&path)]);
    until(&followers, "a failure", |seen| seen.failures > 0);
    let old = folder.path().join("old");
    let mut file = append(&old);
    file.write_all(format!("{}{}", line(1), line(2)).as_bytes())
        .unwrap();
    rename(&old, &path).unwrap();
    until(&followers, "the file", |seen| seen.switches == 1);
    file.write_all(line(3).as_bytes()).unwrap();
    let seen = until(&followers, "the third cycle", |seen| {
        let last = seen.totals.last_cycle;
        last.is_some_and(|cycle| cycle.number == 3)
    });
    assert_eq!((seen.totals.cycles, seen.totals.lines), (1, 1));
}

#[test]
fn one_that_could_not_be_read_for_a_while_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr.log");
    let mut file = append(&path);
    let (first, second) = (line(1), line(2));
    let (front, back) = second.split_at(40);
    file.write_all(format!("{first}{front}").as_bytes())
        .unwrap();
    let stream = Stream::default();
    let mut from = Begin::Start;
    let read_to_end = |from: &mut Begin, cycles: u64| {
        let stop = Stop::default();
        thread::scope(|scope| {
            let reading = scope.spawn(|| file::follow(&path, from, &stream, &stop));
            let deadline = Instant::now() + SOON;
            while stream.snapshot().totals.cycles < cycles && Instant::now() < deadline {
                thread::park_timeout(Duration::from_millis(5));
            }
            stop.ask();
            reading.join().unwrap().unwrap();
        });
        stream.interrupted();
    };
    read_to_end(&mut from, 1);
    file.write_all(format!("{back}{}", line(3)).as_bytes())
        .unwrap();
    read_to_end(&mut from, 3);
    let totals = stream.snapshot().totals;
    assert_eq!((totals.cycles, totals.lines), (3, 3));
    assert_eq!((totals.malformed_cycles, totals.restarts), (0, 0));
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    make_pipe(&path);
    let (told, tell) = channel();
    thread::spawn(move || {
        let followed = file::follow(
            &path,
            &mut Begin::Start,
            &Stream::default(),
            &Stop::default(),
        );
        told.send(followed.is_err()).unwrap();
    });
    assert!(tell.recv_timeout(SOON).unwrap());
}

#[test]
fn one_that_nobody_follows_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    drop(append(&path));
    let followers = Followers::default();
    let threads: Vec<_> = (0..MAX_THREADS)
        .map(|_| Arc::clone(&followers.alive))
        .collect();
    followers.adopt(&[source(&path)]);
    assert_eq!(followers.snapshots()[0].1.failures, 1);
    drop(threads);
    followers.adopt(&[source(&path)]);
    until(&followers, "the file", |seen| seen.open);
    // One that ends without being asked is not there either.
    let finished = thread::spawn(|| ());
    let deadline = Instant::now() + SOON;
    while !finished.is_finished() {
        assert!(Instant::now() < deadline, "a thread goes on");
        thread::park_timeout(Duration::from_millis(5));
    }
    followers.lock()[0].thread = Some(finished);
    followers.adopt(&[source(&path)]);
    assert!(followers.lock()[0].lives());
}

#[test]
fn what_is_no_file_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let followers = Followers::default();
    followers.adopt(&[source(folder.path())]);
    let seen = until(&followers, "failures", |seen| seen.failures >= 2);
    assert!(!seen.open);
}

#[test]
fn sources_come_and_go_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut file = append(&path);
    let followers = Followers::default();
    followers.adopt(&[source(&path)]);
    until(&followers, "the file", |seen| seen.open);
    file.write_all(line(1).as_bytes()).unwrap();
    counted(&followers, 1);
    let mut labelled = source(&path);
    labelled.labels.insert("env".to_owned(), "prod".to_owned());
    followers.adopt(&[labelled.clone()]);
    assert_eq!(followers.snapshots()[0].0, labelled);
    assert_eq!(counted(&followers, 1).totals.cycles, 1);
    // Another name is another source; the old one's thread ends.
    labelled.name = "b".to_owned();
    followers.adopt(&[labelled]);
    until(&followers, "the file", |seen| seen.open);
    followers.adopt(&[]);
    assert_eq!(followers.snapshots(), []);
    let deadline = Instant::now() + SOON;
    while Arc::strong_count(&followers.alive) > 1 {
        assert!(Instant::now() < deadline, "a thread goes on");
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_read_across_its_writers_and_its_like() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    make_pipe(&path);
    let followers = Followers::default();
    followers.adopt(&[source(&path)]);
    let write = |text: String| append(&path).write_all(text.as_bytes()).unwrap();
    until(&followers, "the pipe", |seen| seen.open);
    write(line(1));
    counted(&followers, 1);
    // The next writer is the program started anew.
    write(format!("{}{}", line(1), line(2)));
    let seen = counted(&followers, 3);
    assert_eq!((seen.totals.restarts, seen.failures), (1, 0));
    // Another pipe in its place, as of a script that makes it each time.
    fs::remove_file(&path).unwrap();
    make_pipe(&path);
    until(&followers, "the new pipe", |seen| {
        seen.switches == 1 && seen.open
    });
    write(line(3));
    counted(&followers, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_left_for_its_like_though_it_is_never_silent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    make_pipe(&path);
    let followers = Followers::default();
    followers.adopt(&[source(&path)]);
    until(&followers, "the pipe", |seen| seen.open);
    let mut old = append(&path);
    // Until nobody reads it any more.
    let writing = thread::spawn(move || while old.write_all(&[b'\n'; 4096]).is_ok() {});
    until(&followers, "lines", |seen| seen.totals.lines > 0);
    fs::remove_file(&path).unwrap();
    make_pipe(&path);
    until(&followers, "the new pipe", |seen| {
        seen.switches == 1 && seen.open
    });
    append(&path).write_all(line(1).as_bytes()).unwrap();
    counted(&followers, 1);
    writing.join().unwrap();
}

#[test]
fn a_pipe_needs_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    make_pipe(&path);
    let followers = Followers::default();
    followers.adopt(&[source(&path)]);
    until(&followers, "a failure", |seen| {
        seen.failures > 0 && !seen.open
    });
}
