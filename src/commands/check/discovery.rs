//! What is found, and where it is looked for. Files are read; no name server is asked.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::config::{Config, DnsSd, RecordType};
use crate::discovery::{Found, Look};
use crate::units::DurationText;

/// Targets that are listed, at most; of more, the number is told.
const MAX_LISTED: usize = 20;

/// Says what the entries of `file_sd_configs` and `dns_sd_configs` come to.
pub(super) fn explain(
    config: &Config,
    look: &Look,
    found: &[Found],
    out: &mut impl Write,
) -> io::Result<()> {
    if !config.file_sd().is_empty() {
        writeln!(out, "\ntargets in files: {}", found.len())?;
        for source in config.file_sd() {
            for file in &source.files {
                let interval = DurationText(source.refresh_interval);
                writeln!(
                    out,
                    "  looks at {file}, reads it again after {interval} at the latest"
                )?;
            }
        }
        for Found { target, .. } in found.iter().take(MAX_LISTED) {
            write!(out, "  {} by module {}", target.target, target.module)?;
            label(&target.labels, out)?;
        }
        match found.len().saturating_sub(MAX_LISTED) {
            0 => {}
            more => writeln!(out, "  and {more} more")?,
        }
        for file in &look.open_files {
            writeln!(
                out,
                "  everybody may write to {file}: only what allow permits is taken from it"
            )?;
        }
    }
    if !config.dns_sd().is_empty() {
        writeln!(
            out,
            "\ntargets in DNS, not asked for here; only what allow permits is taken"
        )?;
    }
    for source in config.dns_sd() {
        explain_names(source, out)?;
    }
    Ok(())
}

fn explain_names(source: &DnsSd, out: &mut impl Write) -> io::Result<()> {
    let scheme = if source.tls { "https" } else { "http" };
    let at = match source.record {
        RecordType::Srv => "the ports they name".to_owned(),
        RecordType::A | RecordType::Aaaa => format!("port {}", source.port),
    };
    for name in &source.names {
        write!(
            out,
            "  {} records of {name}, {scheme} at {at}, every {}, by module {}",
            source.record.as_str(),
            DurationText(source.refresh_interval),
            source.module
        )?;
        label(&source.labels, out)?;
    }
    Ok(())
}

/// Ends a line with the labels of a target.
fn label(labels: &BTreeMap<String, String>, out: &mut impl Write) -> io::Result<()> {
    for (name, value) in labels {
        write!(out, ", {name}={value:?}")?;
    }
    writeln!(out)
}
