//! Command lines, and what they parse to.

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Command, String> {
    let arguments = std::iter::once("goroutine_exporter").chain(line.split_whitespace());
    try_parse_from(arguments).map_err(|error| error.to_string())
}

fn serve(line: &str) -> ServeArgs {
    match parse(line) {
        Ok(Command::Serve(arguments)) => *arguments,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn serve_is_the_default_and_has_its_defaults() {
    let arguments = serve("");
    assert_eq!(serve("serve"), arguments);
    assert_eq!(arguments.config_file, None);
    assert!(!arguments.config_check && !arguments.config_enable_auto_reload);
    assert_eq!(
        arguments.config_auto_reload_interval,
        Duration::from_secs(30)
    );
    assert_eq!(arguments.targets, Vec::<String>::new());
    assert_eq!(
        arguments.web_listen_address,
        [ListenAddress::All { port: 16060 }]
    );
    assert_eq!(arguments.web_external_url, None);
    assert!(!arguments.web_enable_lifecycle && !arguments.web_allow_any_target);
    assert_eq!(
        (arguments.web_max_connections, arguments.web_max_requests),
        (512, 64)
    );
    assert_eq!(arguments.timeout_offset, Duration::from_millis(500));
    assert_eq!(arguments.history_limit, 100);
    assert_eq!(arguments.storage_path, None);
    assert_eq!(
        arguments.log,
        LogArgs {
            level: LogLevel::Info,
            format: LogFormat::Logfmt
        }
    );
}

#[test]
fn flags_of_serve_work_with_and_without_the_word() {
    let flags = "--config.file a.yml --config.check --target a:1 --target http://b:2,unix:///c --web.listen-address :1 \
        --web.listen-address [::1]:2 --web.external-url https://x.example/y --web.enable-lifecycle \
        --timeout-offset 0.25 --storage.path /var/x --log.format json --log.level debug";
    let arguments = serve(flags);
    assert_eq!(serve(&format!("serve {flags}")), arguments);
    assert_eq!(arguments.config_file, Some(PathBuf::from("a.yml")));
    assert!(
        arguments.config_check && arguments.web_enable_lifecycle && !arguments.web_allow_any_target
    );
    assert_eq!(arguments.targets, ["a:1", "http://b:2", "unix:///c"]);
    let addresses: Vec<String> = arguments
        .web_listen_address
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, [":1", "[::1]:2"]);
    assert_eq!(arguments.timeout_offset, Duration::from_millis(250));
    assert_eq!(arguments.storage_path, Some(PathBuf::from("/var/x")));
    assert_eq!(
        arguments.log,
        LogArgs {
            level: LogLevel::Debug,
            format: LogFormat::Json
        }
    );
}

#[test]
fn other_commands_have_their_flags() {
    let check = parse("check --config.file a.yml").unwrap();
    assert_eq!(
        check,
        Command::Check(CheckArgs {
            config_file: Some("a.yml".into()),
            web_config_file: None,
        })
    );
    let Ok(Command::Inspect(inspect)) =
        parse("inspect a - http://b:1 --focus x --top 3 --format json")
    else {
        panic!("no inspect");
    };
    assert_eq!(inspect.sources, ["a", "-", "http://b:1"]);
    assert_eq!(
        (inspect.read.focus.as_deref(), inspect.read.ignore),
        (Some("x"), None)
    );
    assert_eq!(
        (inspect.top, inspect.format),
        (Some(3), InspectFormat::Json)
    );
    assert_eq!(
        (inspect.read.module.as_str(), inspect.read.profile),
        ("default", InspectProfile::Goroutine)
    );
    assert_eq!((inspect.stacks, inspect.watch), (None, None));
    // A number belongs to --stacks only behind =: what follows it is a source.
    let Ok(Command::Inspect(inspect)) = parse("inspect --stacks 7 --watch 2s --color never") else {
        panic!("no inspect");
    };
    assert_eq!(inspect.sources, ["7"]);
    assert_eq!(
        (inspect.stacks, inspect.watch, inspect.read.colour),
        (Some(3), Some(Duration::from_secs(2)), Colour::Never)
    );
    let Ok(Command::Diff(diff)) = parse("diff a - --fail-on-growth 0 --fail-on-new --stacks=9")
    else {
        panic!("no diff");
    };
    assert_eq!((diff.before.as_str(), diff.after.as_str()), ("a", "-"));
    assert_eq!((diff.fail_on_growth, diff.fail_on_new), (Some(0), Some(1)));
    assert_eq!((diff.stacks, diff.min), (Some(9), 1));
    let Ok(Command::Godebug(godebug)) = parse("godebug --quiet --web.listen-address :1,:2") else {
        panic!("no godebug");
    };
    assert!(godebug.quiet && godebug.source == "stdin");
    assert_eq!(
        godebug.web_listen_address,
        [1, 2].map(|port| ListenAddress::All { port })
    );
    let Ok(Command::Godebug(godebug)) = parse("godebug --source shop") else {
        panic!("no godebug");
    };
    assert_eq!(godebug.source, "shop");
    assert!(!godebug.quiet && godebug.web_listen_address.is_empty());
    let Ok(Command::Demo(demo)) = parse("demo") else {
        panic!("no demo")
    };
    assert_eq!(demo.web_listen_address.to_string(), "127.0.0.1:16060");
    assert_eq!(
        (demo.target_address.to_string().as_str(), demo.speed),
        ("127.0.0.1:0", 30)
    );
}

#[test]
fn what_cannot_be_used_is_refused() {
    let check = |line: &str, part: &str| {
        let error = parse(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    };
    check("--web.listen-address localhost", "expected :PORT");
    check("--web.max-requests 0", "0 is not in 1..=65535");
    check("--timeout-offset 61", "at most 1m");
    check("--timeout-offset=-1", "expected seconds");
    check("--timeout-offset nan", "expected seconds");
    check("--config.auto-reload-interval 0", "from 1s to 1d");
    check(
        "--web.external-url ftp://x",
        "expected an http or https URL",
    );
    check(
        "--web.external-url https://u:p@x/",
        "expected an http or https URL",
    );
    check(
        "--log.level trace",
        "[possible values: debug, info, warn, error]",
    );
    check("--log.levl debug", "--log.level");
    check("--target a:1 inspect x", "inspect");
    check("inspect", "<SOURCE>");
    check("inspect --top 0 x", "0 is not in 1..");
    check(
        "inspect --format xml x",
        "[possible values: table, json, folded, prometheus]",
    );
    check(
        "inspect --profile heap x",
        "[possible values: goroutine, goroutineleak]",
    );
    check("inspect --watch 0 x", "from 1s to 1d");
    check("inspect --stacks=0 x", "0 is not in 1..");
    check("inspect --color sometimes x", "[possible values: auto");
    check("diff a", "<AFTER>");
    check("diff --fail-on-new=0 a b", "0 is not in 1..");
    check("diff --fail-on-growth x a b", "--fail-on-growth");
    check("completions tcsh", "[possible values: bash");
    check("demo --speed 0", "0 is not in 1..=3600");
}

#[test]
fn prefixes_are_plain_paths() {
    let check = |text: &str, expected: Option<&str>| {
        let found = parse_route_prefix(text);
        assert_eq!(found.ok().as_deref(), expected, "{text}");
    };
    check("/", Some(""));
    check("", Some(""));
    check("/ge", Some("/ge"));
    check("ge/", Some("/ge"));
    check("//a-b/c_d.e~f//", Some("/a-b/c_d.e~f"));
    for bad in [
        "/a//b", "/../x", "/./x", "/a b", "/a%20b", "/a?b", "/a#b", "/\u{e4}", "/a\"b",
    ] {
        check(bad, None);
    }
    assert!(parse_external_url("https://a.example/x//y").is_err());
    assert!(parse_external_url("https://a.example//evil").is_err());
    parse_external_url("https://a.example/x/").unwrap();
}

#[test]
fn offsets_are_seconds_or_durations() {
    let check = |text: &str, millis: Option<u64>| {
        assert_eq!(
            parse_offset(text).ok(),
            millis.map(Duration::from_millis),
            "{text}"
        );
    };
    check("0.5", Some(500));
    check("0.5s", Some(500));
    check("2", Some(2000));
    check("500ms", Some(500));
    check("1m", Some(60_000));
    check("0", Some(0));
    check("1e3", None);
    check("inf", None);
    check("", None);
    check("s", None);
    check("-1", None);
    check("1h", None);
}

#[test]
fn every_flag_of_serve_is_in_the_environment_too() {
    let command = CommandLine::command();
    let mut flags = 0;
    for argument in command
        .get_arguments()
        .filter(|argument| argument.get_long().is_some())
    {
        let long = argument.get_long().unwrap();
        if matches!(long, "help" | "version") {
            continue;
        }
        let expected = format!(
            "GOROUTINE_EXPORTER_{}",
            long.to_uppercase().replace(['.', '-'], "_")
        );
        assert_eq!(
            argument.get_env().and_then(|name| name.to_str()),
            Some(expected.as_str())
        );
        flags += 1;
    }
    assert_eq!(flags, 19);
}

#[test]
fn help_fits_80_columns() {
    let mut command = CommandLine::command().term_width(80);
    command.build();
    let names: Vec<String> = command
        .get_subcommands()
        .map(|found| found.get_name().to_owned())
        .collect();
    let mut texts = vec![command.render_long_help().to_string()];
    for name in names {
        texts.push(
            command
                .find_subcommand_mut(&name)
                .unwrap()
                .clone()
                .term_width(80)
                .render_long_help()
                .to_string(),
        );
    }
    for line in texts.iter().flat_map(|text| text.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(texts[0].contains("--web.listen-address <ADDRESS>") && texts[0].contains("Examples:"));
}

#[test]
fn the_version_has_build_facts() {
    let text = parse("--version").unwrap_err();
    assert!(
        text.starts_with(concat!(
            "goroutine_exporter ",
            env!("CARGO_PKG_VERSION"),
            "\nplatform: "
        )),
        "{text}"
    );
    assert!(text.contains("\nbuild: "), "{text}");
}

#[test]
fn a_trace_is_no_profile() {
    let inspect = |flags: &str| match parse(&format!("inspect {flags} x")) {
        Ok(Command::Inspect(arguments)) => Ok((arguments.trace, arguments.seconds)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(inspect(""), Ok((false, None)));
    assert_eq!(inspect("--trace"), Ok((true, None)));
    let half = Some(Duration::from_millis(500));
    assert_eq!(inspect("--trace --seconds 0.5"), Ok((true, half)));
    for wrong in [
        "--seconds 1",
        "--trace --seconds 0",
        "--trace --seconds 61",
        "--trace --seconds nan",
        "--trace --seconds soon",
        "--trace --watch 2s",
        "--trace --stacks",
        "--trace --focus a",
        "--trace --ignore a",
        "--trace --profile goroutine",
        "--trace --dump 1",
    ] {
        assert!(inspect(wrong).is_err(), "{wrong}");
    }
}
