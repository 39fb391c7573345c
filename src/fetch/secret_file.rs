//! Reads what the configuration keeps in files: certificates, keys, passwords, tokens.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::SecretFault;
use crate::secret::Secret;

/// A larger file is refused: certificate bundles are about 200 KiB, so a file this long is the wrong one.
const MAX_PEM_BYTES: u64 = 1024 * 1024;
/// A larger file is refused: no password or token is this long.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// The text of a PEM file.
pub(super) fn read_pem(path: &Path) -> Result<String, SecretFault> {
    read(path, MAX_PEM_BYTES)
}

/// The secret, from its file if it is in one. Blocks.
pub(super) fn reveal(secret: &Secret) -> Result<String, SecretFault> {
    match secret {
        Secret::Inline(text) => Ok(text.clone()),
        Secret::File(path) => read(path, MAX_SECRET_BYTES).map(|text| text.trim_end().to_owned()),
    }
}

/// The whole of a plain file. Pipes and devices are refused: they could block for ever.
fn read(path: &Path, limit: u64) -> Result<String, SecretFault> {
    let fault = |error: io::Error| SecretFault::Unreadable {
        path: path.to_owned(),
        kind: error.kind(),
    };
    let metadata = std::fs::metadata(path).map_err(fault)?;
    if !metadata.is_file() {
        return Err(SecretFault::NotAFile {
            path: path.to_owned(),
        });
    }
    let mut text = String::new();
    let file = File::open(path).map_err(fault)?;
    let length = file
        .take(limit.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(fault)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > limit {
        return Err(SecretFault::TooLong {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lose_white_space_at_their_end_and_are_capped() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let check = |content: &[u8], expected: Result<&str, SecretFault>| {
            std::fs::write(at("secret"), content).unwrap();
            assert_eq!(
                reveal(&Secret::File(at("secret"))),
                expected.map(str::to_owned)
            );
        };
        check(b"token\r\n \n", Ok("token"));
        check(b" to ken", Ok(" to ken"));
        check(b"", Ok(""));
        let full = "x".repeat(usize::try_from(MAX_SECRET_BYTES).unwrap());
        check(full.as_bytes(), Ok(&full));
        let limit = MAX_SECRET_BYTES;
        check(
            format!("{full}x").as_bytes(),
            Err(SecretFault::TooLong {
                path: at("secret"),
                limit,
            }),
        );
        let kind = io::ErrorKind::InvalidData;
        check(
            b"\xff",
            Err(SecretFault::Unreadable {
                path: at("secret"),
                kind,
            }),
        );
        let missing = SecretFault::Unreadable {
            path: at("missing"),
            kind: io::ErrorKind::NotFound,
        };
        assert_eq!(reveal(&Secret::File(at("missing"))), Err(missing));
        let here = folder.path().to_owned();
        assert_eq!(
            reveal(&Secret::File(here.clone())),
            Err(SecretFault::NotAFile { path: here })
        );
        assert_eq!(
            reveal(&Secret::Inline("token \n".to_owned())).as_deref(),
            Ok("token \n")
        );
    }
}
