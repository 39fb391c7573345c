//! What counts are expected, and what is thought of others.

use std::collections::BTreeMap;
use std::fmt;

/// A count within so many hundredths of what is expected is as expected. Hash seeds differ from run to run, which moves
/// counts by less than a tenth of it.
const TOLERANCE: u64 = 5;

/// The file: `# ` and the compiler, other comments, then a case and its count in each line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    /// As `rustc --version` says it.
    pub(crate) compiler: String,
    /// By case.
    pub(crate) counts: BTreeMap<String, u64>,
}

const COMPILER: &str = "# Instructions of each case, counted by callgrind. Compiler: ";

impl Expected {
    pub(crate) fn parse(text: &str) -> Self {
        let mut expected = Self::default();
        for line in text.lines() {
            if let Some(compiler) = line.strip_prefix(COMPILER) {
                compiler.clone_into(&mut expected.compiler);
            } else if !line.starts_with('#') {
                let (name, count) = line.split_once(' ').unwrap();
                let count = count.trim().parse().unwrap();
                expected.counts.insert(name.to_owned(), count);
            }
        }
        expected
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{COMPILER}{}", self.compiler)?;
        out.write_str("# Written by `cargo bench --bench instructions -- --save`.\n")?;
        for (name, count) in &self.counts {
            writeln!(out, "{name:24} {count:>12}")?;
        }
        Ok(())
    }
}

/// What is thought of a count. The part is that of the expected count by which it differs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing is expected of this case.
    New,
    AsExpected(f64),
    Better(f64),
    Worse(f64),
}

impl Verdict {
    pub(crate) fn of(expected: Option<u64>, seen: u64) -> Self {
        let Some(expected) = expected else {
            return Self::New;
        };
        let change = seen as f64 / expected as f64 - 1.0;
        if seen * 100 > expected * (100 + TOLERANCE) {
            Self::Worse(change)
        } else if seen * 100 < expected * (100 - TOLERANCE) {
            Self::Better(change)
        } else {
            Self::AsExpected(change)
        }
    }

    /// A case without a count is none that guards anything.
    pub(crate) fn fails(&self) -> bool {
        matches!(self, Self::New | Self::Worse(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => out.write_str("NOT EXPECTED"),
            Self::AsExpected(change) => write!(out, "{:+.1} %", change * 100.0),
            Self::Better(change) => write!(out, "{:+.1} %, better", change * 100.0),
            Self::Worse(change) => write!(out, "{:+.1} %, WORSE", change * 100.0),
        }
    }
}

/// The count in what callgrind says at its end, such as `==123== Collected : 45678`.
pub(crate) fn collected(said: &str) -> Option<u64> {
    let (_, count) = said
        .lines()
        .rev()
        .find_map(|line| line.split_once("Collected : "))?;
    count.trim().parse().ok().filter(|&count| count > 0)
}

/// The judgement, held to examples.
pub(crate) fn check() {
    let fails = |expected, seen| Verdict::of(expected, seen).fails();
    assert!(!fails(Some(1000), 1000) && !fails(Some(1000), 1050));
    assert!(fails(Some(1000), 1051) && fails(None, 1));
    assert!(!fails(Some(1000), 900));
    assert!(matches!(
        Verdict::of(Some(1000), 949),
        Verdict::Better(change) if change < -0.05
    ));
    assert!(matches!(
        Verdict::of(Some(1000), 951),
        Verdict::AsExpected(_)
    ));
    let said = "==7== Events    : Ir\n==7== Collected : 9312\n==7== \n==7== I refs: 9,312\n";
    assert_eq!(collected(said), Some(9312));
    assert_eq!(collected("==7== Collected : 0\n"), None);
    assert_eq!(collected("valgrind: no such tool\n"), None);
    let expected = Expected {
        compiler: "rustc 1".to_owned(),
        counts: [("a".to_owned(), 1), ("b".to_owned(), 22)].into(),
    };
    assert_eq!(Expected::parse(&expected.to_string()), expected);
}
