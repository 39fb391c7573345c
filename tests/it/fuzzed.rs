//! What fuzzing found interesting, and mutations of it, through the functions that the fuzz targets call: every input
//! is one that a fuzzer kept because it reached code that no other did (`tests/fuzz/README.md`).

use std::io::Read as _;
use std::path::PathBuf;

use crate::bodies;
use crate::programs::repository;

/// Mutations tried of each target's corpus.
const MUTATIONS: usize = 400;
/// The longest input that is mutated: what matters is found in short ones, which are quick.
const LONGEST: usize = 8 << 10;

/// Texts that mean something in one of the inputs.
const TOKENS: [&[u8]; 26] = [
    b"\n\n",
    b"\r\n",
    b"goroutine 1 [running]:\n",
    b"goroutine profile: total 3\n",
    b"created by main.f in goroutine 1\n",
    b"\t/a.go:1 +0x1\n",
    b"main.f(0x1)\n",
    b"...additional frames elided...\n",
    b", 9 minutes",
    b" (leaked)",
    b"#\t0x1\tmain.f+0x1\t/a.go:1\n",
    b"# labels: {\"tenant\":\"a\"}\n",
    b"18446744073709551616",
    b"4294967296 @ 0x1 0x2\n",
    b"{\"log\":\"",
    b"\\u0000",
    b"\x1f\x8b\x08",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02",
    b"modules: { a: ",
    b"tls_server_config: { cert_file: a, key_file: b, ",
    b"client_auth_type: RequireAndVerifyClientCert, client_ca_file: c",
    b"<<: *a",
    b"[::ffff:",
    b"%2e%2e",
    b"@",
];

#[test]
fn decode() {
    replay("decode");
}

#[test]
fn gzip() {
    replay("gzip");
}

#[test]
fn proto() {
    replay("proto");
}

#[test]
fn debug1() {
    replay("debug1");
}

#[test]
fn debug2() {
    replay("debug2");
}

#[test]
fn debug3() {
    replay("debug3");
}

#[test]
fn logs() {
    replay("logs");
}

#[test]
fn config() {
    replay("config");
}

#[test]
fn web() {
    replay("web");
}

#[test]
fn target() {
    replay("target");
}

#[test]
fn policy() {
    replay("policy");
}

#[test]
fn trace() {
    replay("trace");
}

#[test]
fn every_target_has_a_corpus_a_program_and_a_test() {
    let source = std::fs::read_to_string(repository("tests/it/fuzzed.rs")).unwrap();
    let manifest = std::fs::read_to_string(repository("tests/fuzz/Cargo.toml")).unwrap();
    for (name, _) in bodies::ALL {
        assert!(corpus_file(name).is_file(), "no corpus of {name}");
        assert!(source.contains(&format!("replay(\"{name}\")")), "{name}");
        assert!(
            manifest.contains(&format!("fuzz_targets/{name}.rs")),
            "{name}"
        );
    }
    let programs = std::fs::read_dir(repository("tests/fuzz/fuzz_targets")).unwrap();
    let others = ["shim.rs"].len();
    assert_eq!(programs.count(), bodies::ALL.len() + others);
}

/// Runs the corpus of a target, and mutations of it, which are the same in every run.
fn replay(name: &str) {
    let (_, body) = bodies::ALL
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap();
    let corpus = corpus(name);
    assert!(corpus.len() >= 10, "{} inputs of {name}", corpus.len());
    for input in &corpus {
        body(input);
    }
    let short: Vec<&Vec<u8>> = corpus
        .iter()
        .filter(|input| input.len() <= LONGEST)
        .collect();
    let mut random = Random::new(name);
    for _ in 0..MUTATIONS {
        let mut input = short[random.below(short.len())].clone();
        for _ in 0..=random.below(4) {
            let other = short[random.below(short.len())];
            mutate(&mut input, other, &mut random);
        }
        input.truncate(LONGEST);
        // So that what a panic says can be tried again.
        let shown = input.clone();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&input)));
        assert!(
            outcome.is_ok(),
            "{name} fails on {:?}",
            shown.escape_ascii().to_string()
        );
    }
}

fn corpus_file(name: &str) -> PathBuf {
    repository("tests/fuzz/corpus").join(format!("{name}.tar.gz"))
}

/// What was written by hand for a target, and the files in its archive.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let seeds = std::fs::read_dir(repository("tests/fuzz/seeds").join(name));
    let mut paths: Vec<PathBuf> = seeds
        .map(|seeds| seeds.map(|seed| seed.unwrap().path()).collect())
        .unwrap_or_default();
    paths.sort();
    let mut files: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let packed = std::fs::read(corpus_file(name)).unwrap();
    let mut archive = Vec::new();
    #[expect(clippy::disallowed_types, reason = "the archive is our own")]
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut archive)
        .unwrap();
    // POSIX.1-1988, ustar: a block of 512 bytes for each file, with its size in octal digits and its kind, then its
    // bytes up to the end of a block; blocks of zeros at the end.
    let mut rest = &archive[..];
    while let Some((head, after)) = rest.split_at_checked(512) {
        if head.iter().all(|&byte| byte == 0) {
            break;
        }
        let digits = std::str::from_utf8(&head[124..135]).unwrap();
        let size = usize::from_str_radix(digits, 8).unwrap();
        if head[156] == b'0' {
            files.push(after[..size].to_vec());
        }
        rest = &after[size.next_multiple_of(512)..];
    }
    files
}

/// One change: what a fuzzer does, in small.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let until = at + random.below((input.len() - at).min(64) + 1);
    match random.below(8) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = [0, 0x7f, 0x80, 0xff, b'\n'][random.below(5)],
        2 => drop(input.drain(at..until)),
        3 => {
            let again = input[at..until].repeat(1 + random.below(20));
            drop(input.splice(at..at, again));
        }
        4 => {
            let from = random.below(other.len() + 1);
            drop(input.splice(at.., other[from..].iter().copied()));
        }
        5 => {
            // Somebody's length: of a field, a member, a count.
            let number = [
                0,
                1,
                0x7f,
                0xffff,
                u64::from(u32::MAX),
                u64::MAX >> 1,
                u64::MAX,
            ];
            let number = number[random.below(7)].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)];
            drop(input.splice(at..until, number[..width].iter().copied()));
        }
        _ => drop(input.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
    }
}

/// Numbers that a name decides (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn new(name: &str) -> Self {
        let seed = name.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).unwrap() % bound
    }
}
