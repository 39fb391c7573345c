use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::super::Discovery;
use super::super::message::Record;
use super::*;

/// A folder, the configuration that looks into it, and a clock.
struct Place {
    folder: tempfile::TempDir,
    config: Config,
    discovery: Discovery,
    now: Instant,
}

impl Place {
    fn new(files: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder, files);
        let mut discovery = Discovery::default();
        discovery.adopt(&config);
        let now = Instant::now();
        Self {
            folder,
            config,
            discovery,
            now,
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    fn look(&mut self) -> Look {
        let mut files = self.discovery.take_files();
        let look = files.look(&self.config, self.now);
        self.discovery.put_files(files, &look);
        look
    }

    /// Looks, and expects these targets to be known and so many failures to be told.
    fn finds(&mut self, targets: &[&str], failures: &[Reason]) -> Look {
        let look = self.look();
        let found: Vec<String> = self
            .discovery
            .found()
            .iter()
            .map(|found| found.target.target.to_string())
            .collect();
        assert_eq!(found, targets, "{look:?}");
        let reasons: Vec<Reason> = look.failures.iter().map(|failure| failure.reason).collect();
        assert_eq!(reasons, failures, "{look:?}");
        look
    }
}

#[test]
fn names_go_on_while_files_are_looked_at() {
    let yaml = "file_sd_configs: [{ files: [a.yml] }]\ndns_sd_configs: [{ names: [shop], type: A, port: 6060 }]";
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("a.yml"),
        "[{ targets: ['10.0.0.7:6060'] }]",
    )
    .unwrap();
    let config = Config::from_yaml_in(yaml, folder.path()).unwrap();
    let mut discovery = Discovery::default();
    discovery.adopt(&config);
    let now = Instant::now();
    let mut files = discovery.take_files();
    let [question] = &discovery.due(now)[..] else {
        panic!("one name is due");
    };
    let address = Record::Address("10.0.0.8".parse().unwrap());
    assert_eq!(discovery.answered(question, Ok(vec![address])), None);
    assert!(discovery.take_changed() && discovery.found().len() == 1);
    let look = files.look(&config, now);
    discovery.put_files(files, &look);
    assert!(discovery.take_changed() && discovery.found().len() == 2);
}

fn config(folder: &tempfile::TempDir, files: &str) -> Config {
    let yaml = format!("file_sd_configs: [{{ files: [{files}], refresh_interval: 1m }}]");
    Config::from_yaml_in(&yaml, folder.path()).unwrap()
}

#[test]
fn files_come_change_and_go() {
    let mut place = Place::new("'*.yml', one.json");
    assert!(place.finds(&[], &[]).all_good);
    place.write("a.yml", "- targets: [a:1]");
    place.write("b.yml", "- targets: [b:1, c:1]");
    place.write("other.json", "[{\"targets\": [\"x:1\"]}]");
    place.write("one.json", "[{\"targets\": [\"d:1\"]}]");
    assert!(
        place
            .finds(
                &["http://a:1", "http://b:1", "http://c:1", "http://d:1"],
                &[]
            )
            .changed
    );
    // Nothing is read while nothing changes.
    assert!(
        !place
            .finds(
                &["http://a:1", "http://b:1", "http://c:1", "http://d:1"],
                &[]
            )
            .changed
    );
    place.write("b.yml", "- targets: [c:1]");
    assert!(
        place
            .finds(&["http://a:1", "http://c:1", "http://d:1"], &[])
            .changed
    );
    place.remove("a.yml");
    place.remove("one.json");
    assert!(place.finds(&["http://c:1"], &[]).changed);
    // What was written by renaming is another file, whatever its time.
    place.write("new", "- targets: [e:1]");
    fs::rename(
        place.folder.path().join("new"),
        place.folder.path().join("b.yml"),
    )
    .unwrap();
    assert!(place.finds(&["http://e:1"], &[]).all_good);
}

#[test]
fn a_file_that_cannot_be_used_leaves_what_it_said_before() {
    let mut place = Place::new("'*.yml'");
    place.write("a.yml", "- targets: [a:1]");
    place.write("b.yml", "- targets: [b:1]");
    let both = ["http://a:1", "http://b:1"];
    assert!(place.finds(&both, &[]).all_good);
    place.write("a.yml", "- targets: [a:1, c:1, nonsense]");
    let look = place.finds(&both, &[Reason::Malformed]);
    assert!(!look.all_good && !look.changed);
    let problem = &look.failures[0].problem;
    assert!(
        problem.contains("a.yml:1:23: [0].targets[2]: the target has no port"),
        "{problem}"
    );
    // It is told once, and again with each attempt.
    assert!(!place.finds(&both, &[]).all_good);
    place.now += Duration::from_mins(1);
    place.finds(&both, &[Reason::Malformed]);
    place.write(
        "a.yml",
        &"#".repeat(usize::try_from(MAX_BYTES).unwrap() + 1),
    );
    place.finds(&both, &[Reason::Malformed]);
    // A folder of that name is no file.
    place.remove("a.yml");
    fs::create_dir(place.folder.path().join("a.yml")).unwrap();
    place.finds(&both, &[Reason::Unreadable]);
    fs::remove_dir(place.folder.path().join("a.yml")).unwrap();
    assert!(place.finds(&["http://b:1"], &[]).all_good);
}

#[test]
fn what_nobody_can_read_is_not_gone() {
    let mut place = Place::new("'in/*.yml', in/one.json");
    assert!(
        place.finds(&[], &[]).all_good,
        "a folder that is not there holds nothing"
    );
    fs::create_dir(place.folder.path().join("in")).unwrap();
    place.write("in/a.yml", "- targets: [a:1]");
    place.write("in/one.json", "[{\"targets\": [\"b:1\"]}]");
    let both = ["http://a:1", "http://b:1"];
    place.finds(&both, &[]);
    // A folder that is none any more cannot be read, which is another thing than being empty.
    let (held, away) = (
        place.folder.path().join("in"),
        place.folder.path().join("away"),
    );
    fs::rename(&held, &away).unwrap();
    place.write("in", "");
    let look = place.look();
    assert!(!look.all_good, "{look:?}");
    assert_eq!(place.discovery.found().len(), 2);
    assert!(
        place.look().failures.is_empty(),
        "it is told once in an interval"
    );
    fs::remove_file(&held).unwrap();
    fs::rename(&away, &held).unwrap();
    place.now += Duration::from_mins(1);
    assert!(place.finds(&both, &[]).all_good);
}

#[test]
fn a_change_that_does_not_show_is_found_in_time() {
    let mut place = Place::new("a.yml");
    place.write("a.yml", "- targets: [a:1]");
    let path = place.folder.path().join("a.yml");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    place.finds(&["http://a:1"], &[]);
    place.write("a.yml", "- targets: [b:1]");
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    place.finds(&["http://a:1"], &[]);
    place.now += Duration::from_mins(1);
    place.finds(&["http://b:1"], &[]);
}

#[test]
fn a_file_for_everybody_is_nobodys_word() {
    let mut place = Place::new("a.yml");
    place.write("a.yml", "- targets: [a:1]");
    let path = place.folder.path().join("a.yml");
    let mut word = |mode: u32| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let look = place.look();
        let found = place.discovery.found();
        (found[0].word.clone(), look.open_files.len())
    };
    assert_eq!(word(0o644), (Word::Operator, 0));
    assert_eq!(word(0o666), (Word::Nobody, 1));
    assert_eq!(word(0o664), (Word::Operator, 0));
}

#[test]
fn a_pipe_is_not_waited_for() {
    let mut place = Place::new("a.yml");
    let path = place.folder.path().join("a.yml");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    place.finds(&[], &[Reason::Unreadable]);
    place.remove("a.yml");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    place.finds(&[], &[Reason::Unreadable]);
}

#[test]
fn as_many_files_are_read_as_may_be() {
    let mut place = Place::new("'*.yml'");
    for number in 0..=MAX_FILES {
        place.write(
            &format!("{number:04}.yml"),
            &format!("- targets: [h{number}:1]"),
        );
    }
    let look = place.look();
    assert_eq!(look.failures.len(), 1);
    assert_eq!(look.failures[0].reason, Reason::TooMany);
    assert_eq!(place.discovery.found().len(), MAX_FILES);
    assert!(!look.all_good && place.look().failures.is_empty());
    place.remove("0000.yml");
    assert!(place.look().all_good);
    assert_eq!(place.discovery.found().len(), MAX_FILES);
}

#[test]
fn another_configuration_reads_everything_anew() {
    let mut place = Place::new("a.yml");
    place.write("a.yml", "- {targets: [a:1], labels: {__param_module: m}}");
    place.finds(&[], &[Reason::Malformed]);
    let yaml = "modules: { m: {} }\nfile_sd_configs: [{ files: [a.yml], refresh_interval: 1m }]";
    place.config = Config::from_yaml_in(yaml, place.folder.path()).unwrap();
    place.finds(&[], &[]);
    place.discovery.adopt(&place.config);
    place.finds(&["http://a:1"], &[]);
    // What is no longer usable stays known, until it is.
    place.config = config(&place.folder, "a.yml");
    place.discovery.adopt(&place.config);
    place.finds(&["http://a:1"], &[Reason::Malformed]);
    place.config = config(&place.folder, "b.yml");
    place.discovery.adopt(&place.config);
    place.finds(&[], &[]);
}
