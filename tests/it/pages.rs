//! The pages in a real browser: found by clicking, nothing in the console, nothing wider than the screen.

use std::fs;
use std::path::Path;

use goroutine_exporter::decode::messages::{
    Function, Label, Line, Location, Profile, Sample, ValueType,
};
use prost::Message as _;

use crate::browser::Browser;
use crate::http::ask;
use crate::programs::{Exporter, Program, command, until};
use crate::servers::{Server, nobody, ok};

/// The width of a desk and of a telephone.
const WIDTHS: [u32; 2] = [1280, 390];

/// Looks at the page at every width in both themes: nothing is cut off, and the console is empty. The pictures are left
/// below `target` for whoever wants to look, too.
fn looks_good(browser: &Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&folder).unwrap();
    for width in WIDTHS {
        for theme in ["light", "dark"] {
            browser.look_like(width, theme);
            let wide = browser.run("return document.documentElement.scrollWidth");
            assert!(
                wide.as_u64().unwrap() <= u64::from(width),
                "{name}: {wide} wide at {width}"
            );
            let dark = browser.run("return getComputedStyle(document.body).backgroundColor");
            assert_eq!(dark == "rgb(13, 17, 23)", theme == "dark", "{name}: {dark}");
            let file = folder.join(format!("{name}-{width}-{theme}.png"));
            fs::write(file, browser.picture()).unwrap();
        }
    }
    browser.look_like(1280, "light");
    browser.console_is_empty();
}

/// The demo, far enough in its story that most goroutines are in one place.
fn leaking_demo() -> (Program, String) {
    let demo =
        Program::start(command().args(["demo", "--web.listen-address=127.0.0.1:0", "--speed=120"]));
    let exporter = demo.line("the exporter", |line| {
        let url = line.trim().strip_prefix("the exporter")?.trim();
        Some(url.to_owned())
    });
    demo.line("a leak", |line| {
        let (minute, rest) = line.trim().split_once(' ')?;
        let leaking = minute.parse::<u32>().ok()? >= 8 && rest.contains("StructToMap");
        leaking.then_some(())
    });
    (demo, exporter)
}

#[test]
fn the_incident_is_found_by_clicking() {
    let Some(browser) = Browser::start(true) else {
        return;
    };
    let (_demo, exporter) = leaking_demo();
    browser.open(&exporter);
    looks_good(&browser, "landing");
    browser.click("table a[href*='target?']");
    browser.until_at("/target?");
    let finding = browser.text(".finding");
    for words in [
        "sync.Mutex.Lock",
        "main.(*Converter).StructToMap",
        "converter.go:16",
    ] {
        assert!(finding.contains(words), "{finding}");
    }
    browser.click(".finding a");
    browser.until_at("#g-");
    let row = browser.text("tr:target");
    assert!(row.contains("converter.go:16"), "{row}");
    browser.click("tr:target summary");
    let stacks = browser.text("tr:target details");
    assert!(stacks.contains("main.(*Converter).StructToMap"), "{stacks}");
    assert!(stacks.contains("sync.(*Mutex).Lock"), "{stacks}");
    looks_good(&browser, "target");

    // Search and zoom in the picture.
    browser.type_into("#flame-search", "structtomap");
    let found = browser.text("#flame-found");
    assert!(found.contains(" goroutines ("), "{found}");
    let hits = browser.run("return document.querySelectorAll('#flame .hit').length");
    assert!(hits.as_u64().unwrap() > 0);
    browser.click("#flame .hit");
    let shown = "return [...document.querySelectorAll('#flame g')].filter(g => getComputedStyle(g).display !== 'none').length";
    let zoomed = browser.run(shown).as_u64().unwrap();
    browser.click("#flame-reset");
    let all = browser.run(shown).as_u64().unwrap();
    assert!(0 < zoomed && zoomed < all, "{zoomed} of {all}");
    let copied = browser.run("return document.querySelectorAll('.commands button').length");
    assert_eq!(copied, 2);
    browser.console_is_empty();

    // And again, so that there is a look before this one.
    browser.click("a[href*='target?']");
    let change = browser.text("dl.numbers");
    assert!(change.contains(" in "), "{change}");
}

#[test]
fn the_same_without_scripts() {
    let Some(browser) = Browser::start(false) else {
        return;
    };
    let server = Server::healthy();
    let exporter = Exporter::start(&format!(
        "targets: [{{ url: 'http://{}' }}]",
        server.address
    ));
    browser.open(&format!("http://{}/", exporter.address));
    browser.type_into("form input[name=target]", &server.address.to_string());
    browser.click("form button");
    browser.until_at("/target?");
    browser.click(".groups summary");
    assert!(browser.text(".groups details").contains("main."));
    assert!(!browser.text("#flame").is_empty());
    looks_good(&browser, "without-scripts");
}

/// A profile of goroutines in functions of these names, with a pprof label.
fn profile(functions: &[&str], label: (&str, &str)) -> Vec<u8> {
    let mut strings: Vec<Vec<u8>> = vec![Vec::new()];
    let mut text = |text: &str| {
        strings.push(text.as_bytes().to_vec());
        i64::try_from(strings.len() - 1).unwrap()
    };
    let sample_type = vec![ValueType {
        r#type: text("goroutine"),
        unit: text("count"),
    }];
    let mut profile = Profile {
        sample_type,
        ..Profile::default()
    };
    for (at, name) in functions.iter().enumerate() {
        let id = u64::try_from(at).unwrap() + 1;
        let name = text(name);
        profile.function.push(Function {
            id,
            name,
            system_name: name,
            filename: name,
            ..Function::default()
        });
        profile.location.push(Location {
            id,
            line: vec![Line {
                function_id: id,
                line: 7,
                ..Line::default()
            }],
            ..Location::default()
        });
        profile.sample.push(Sample {
            location_id: vec![id],
            value: vec![40],
            label: vec![Label {
                key: text(label.0),
                str: text(label.1),
                ..Label::default()
            }],
        });
    }
    profile.string_table = strings;
    profile.encode_to_vec()
}

/// What must not run.
const RUNS: &str =
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

#[test]
fn what_a_target_says_is_text_to_the_browser() {
    let Some(browser) = Browser::start(true) else {
        return;
    };
    let function = format!("main.{RUNS}");
    let server = Server::answering(ok(&profile(
        &[&function, "main.\u{202e}txt.exe"],
        ("k", RUNS),
    )));
    let exporter = Exporter::start(&format!(
        "modules: {{ default: {{ classify: {{ labels: [k], watch: {{ w: 'script' }} }} }} }}\ntargets: [{{ url: 'http://{}' }}]",
        server.address
    ));
    browser.open(&format!(
        "http://{}/target?target={}",
        exporter.address, server.address
    ));
    let page = browser.text("body");
    assert!(
        page.contains("main.<script>document.title='owned'</script>"),
        "{page}"
    );
    assert!(page.contains("onerror"), "{page}");
    let (images, title) = (
        browser.run("return document.images.length"),
        browser.run("return document.title"),
    );
    assert_eq!(images, 0);
    assert!(
        title.as_str().unwrap().contains("goroutine_exporter"),
        "{title}"
    );
    looks_good(&browser, "hostile");
}

#[test]
fn failures_are_pages_too() {
    let Some(browser) = Browser::start(true) else {
        return;
    };
    let nobody = nobody();
    let exporter = Exporter::start("");
    browser.open(&format!("http://{}/", exporter.address));
    looks_good(&browser, "landing-empty");
    browser.open(&format!(
        "http://{}/target?target={nobody}",
        exporter.address
    ));
    assert!(browser.text(".warning").starts_with("connect: "));
    browser.click("details summary");
    assert!(browser.text("pre").contains("goroutine_probe_success 0"));
    looks_good(&browser, "failure");
    browser.open(&format!("http://{}/snapshots", exporter.address));
    assert!(browser.text("main").contains("--storage.path"));
    looks_good(&browser, "snapshots-off");
}

#[test]
fn snapshots_are_kept_compared_and_deleted_by_clicking() {
    let Some(browser) = Browser::start(true) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let storage = format!("--storage.path={}", folder.path().display());
    let server = Server::healthy();
    let exporter = Exporter::with(
        &format!("targets: [{{ url: 'http://{}' }}]", server.address),
        &[&storage, "--web.enable-lifecycle"],
    );
    let target = format!(
        "http://{}/target?target={}",
        exporter.address, server.address
    );
    browser.open(&target);
    browser.click("form[method=post] button");
    browser.until_at("/snapshots/");
    assert!(browser.text("main").contains("somebody asked for it"));
    let first = browser.url();
    looks_good(&browser, "snapshot");
    browser.open(&target);
    browser.click("form[method=post] button");
    until("another snapshot", || {
        let url = browser.url();
        (url.contains("/snapshots/") && url != first).then_some(())
    });
    browser.click("form[method=get] button");
    browser.until_at("against=");
    let compared = browser.text("main");
    assert!(
        compared.contains("0 groups appeared, 0 grew, 0 shrank, 0 gone."),
        "{compared}"
    );
    browser.console_is_empty();
    browser.open(&first);
    browser.click("a[href*='against=']");
    browser.until_at("/target?");
    assert!(browser.text("main").contains("0 grew"));
    looks_good(&browser, "target-compared");
    browser.open(&format!("http://{}/snapshots", exporter.address));
    looks_good(&browser, "snapshots");
    browser.click("td a[href*='snapshots/']");
    browser.until_at("/snapshots/");
    let gone = browser.url();
    browser.click("form[method=post] button");
    until("the list", || {
        browser.url().ends_with("/snapshots").then_some(())
    });
    browser.console_is_empty();
    let (_, path) = gone.split_once(&exporter.address.to_string()).unwrap();
    ask(exporter.address, "GET", path, &[]).is(404, "no snapshot");
}
