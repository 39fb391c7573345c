//! What a module adds to the rules of the configuration: it can only narrow them.
//!
//! A module with credentials gives them to whoever answers at its targets. So it goes where somebody wrote that it may:
//! to what its own `allow` matches, or without one to what the top-level `allow` matches and to the static targets it
//! is configured for; never to what is open by default or by a flag, nor to the static target of another module. And
//! over plain HTTP, where everybody on the way reads them, it goes only when that was written down, too.

use std::net::IpAddr;
use std::path::Path;

use super::entry::{AllowEntry, permits_address, permits_name, permits_socket, possible};
use super::refusal::{Asked, Refusal, RefusalReason};
use crate::target::{Endpoint, Target};

/// What a module says about where it goes, and whether it gives anything away there.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModuleRules<'a> {
    /// Its name.
    pub name: &'a str,
    /// `modules.NAME.allow`; `None` without that key.
    pub allow: Option<&'a [AllowEntry]>,
    /// The static targets that it is configured for.
    pub targets: &'a [Target],
    /// Addresses that were found for names, and that it may be used for under these.
    pub found: &'a [Target],
    /// Whether it sends credentials.
    pub credentials: bool,
    /// `modules.NAME.http.credentials_over_http`.
    pub over_http: bool,
}

/// The same, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Restriction {
    module: String,
    scope: Scope,
    /// Whether plain HTTP is refused.
    encrypted: bool,
}

/// What a module may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// Whatever the rules of the configuration permit.
    Any,
    /// Only what these match: its own `allow`.
    Own(Vec<AllowEntry>),
    /// Only what these match, its static targets, or what the top-level `allow` does.
    Written(Vec<AllowEntry>),
}

impl ModuleRules<'_> {
    /// Why the module would refuse a static target, whatever its name resolves to; `None` where it may go there.
    #[must_use]
    pub fn refuses(&self, target: &Target) -> Option<Refusal> {
        let restriction = Restriction::new(self);
        let endpoint = target.endpoint();
        if target.is_plain_http()
            && let Err(refusal) = restriction.check_plain(&endpoint)
        {
            return Some(refusal);
        }
        // Without an own `allow` its static targets are in its scope.
        let Scope::Own(entries) = &restriction.scope else {
            return None;
        };
        let permitted = match endpoint {
            Endpoint::Name { name, port } => possible(entries, name, port),
            Endpoint::Address(address) => permits_address(entries, address.ip(), address.port()),
            Endpoint::Socket(path) => permits_socket(entries, path),
        };
        (!permitted).then(|| restriction.refuse(Asked::of(&endpoint)))
    }
}

impl Restriction {
    pub(super) fn new(rules: &ModuleRules<'_>) -> Self {
        let found = rules.found.iter().map(AllowEntry::for_target);
        let scope = match rules.allow {
            Some(entries) => {
                let own = entries.iter().cloned().map(AllowEntry::canonical);
                Scope::Own(own.chain(found).collect())
            }
            None if rules.credentials => {
                let targets = rules.targets.iter().map(AllowEntry::for_target);
                Scope::Written(targets.chain(found).collect())
            }
            None => Scope::Any,
        };
        Self {
            module: rules.name.to_owned(),
            scope,
            encrypted: rules.credentials && !rules.over_http,
        }
    }

    pub(super) fn possible(&self, allow: &[AllowEntry], name: &str, port: u16) -> bool {
        self.any(allow, |entries| possible(entries, name, port))
    }

    pub(super) fn permits(
        &self,
        allow: &[AllowEntry],
        name: Option<&str>,
        address: IpAddr,
        port: u16,
    ) -> bool {
        self.any(allow, |entries| {
            name.is_some_and(|name| permits_name(entries, name, port))
                || permits_address(entries, address, port)
        })
    }

    pub(super) fn permits_name(&self, allow: &[AllowEntry], name: &str, port: u16) -> bool {
        self.any(allow, |entries| permits_name(entries, name, port))
    }

    pub(super) fn permits_socket(&self, allow: &[AllowEntry], path: &Path) -> bool {
        self.any(allow, |entries| permits_socket(entries, path))
    }

    /// Whether what the module sends may be sent over plain HTTP.
    pub(super) fn check_plain(&self, endpoint: &Endpoint<'_>) -> Result<(), Refusal> {
        if self.encrypted && !matches!(endpoint, Endpoint::Socket(_)) {
            let asked = Asked::of(endpoint);
            return Err(Refusal::of_module(
                RefusalReason::PlainHttp,
                asked,
                &self.module,
            ));
        }
        Ok(())
    }

    /// The refusal of what the rules of the configuration permit.
    pub(super) fn refuse(&self, asked: Asked) -> Refusal {
        let reason = match self.scope {
            Scope::Written(_) => RefusalReason::Credentials,
            Scope::Any | Scope::Own(_) => RefusalReason::ModuleAllow,
        };
        Refusal::of_module(reason, asked, &self.module)
    }

    fn any(&self, allow: &[AllowEntry], permit: impl Fn(&[AllowEntry]) -> bool) -> bool {
        match &self.scope {
            Scope::Any => true,
            Scope::Own(entries) => permit(entries),
            Scope::Written(targets) => permit(targets) || permit(allow),
        }
    }
}

#[cfg(test)]
mod tests;
