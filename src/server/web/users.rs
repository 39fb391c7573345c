//! Passwords: compared by bcrypt, which takes long on purpose, without letting that become a way to keep the exporter busy.
//!
//! What was compared once is remembered, right or wrong. What is new waits for one of few turns, in a queue that is short
//! for each address and for all; who finds it full is told at once to come again. So a flood of wrong passwords costs the
//! turns and nothing else: whoever was let in before does not wait, and whoever comes from elsewhere finds a place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::config::User;

/// Passwords that wait for their turn or have it, at most, from all addresses.
const MAX_WAITING: usize = 64;

/// The same from one address. With it full the last waits for about as long as eight comparisons take: half a second at
/// cost 10.
const MAX_WAITING_OF_ONE: usize = 8;

/// Passwords that are remembered, right ones and wrong ones each, at most. When there are more all of that kind are
/// forgotten: there are not more right ones than users, unless somebody tries.
const MAX_KNOWN: usize = 1_024;

/// Who may ask, by name.
#[derive(Debug, Default)]
pub(super) struct Users(BTreeMap<String, Hash>);

#[derive(Clone)]
struct Hash(Arc<str>);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::secret::HIDDEN)
    }
}

/// What came of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is this user's.
    Right,
    /// It is not, or there is no such user.
    Wrong,
    /// Too many are being compared.
    Busy,
}

/// Names a comparison, and tells nothing of what is compared: a digest that begins with the key of this process.
type Digest32 = [u8; 32];

/// Compares passwords. One for the life of the process.
pub(super) struct Doorkeeper {
    key: Digest32,
    turns: Arc<Semaphore>,
    desk: Arc<Mutex<Desk>>,
}

/// What is remembered.
#[derive(Default)]
struct Desk {
    right: HashSet<Digest32>,
    wrong: HashSet<Digest32>,
    /// Under way, so that a fleet of scrapes with one password is one comparison.
    flights: HashMap<Digest32, (u64, WeakShared<BoxFuture<'static, bool>>)>,
    last_number: u64,
    /// Waiting or being compared, by who sent them.
    waiting: HashMap<Option<IpAddr>, usize>,
    /// How many hashes were computed.
    #[cfg(test)]
    computed: usize,
}

/// A place in the queue, left when dropped: when the comparison has ended, or with the last who waits for it.
struct Place {
    desk: Arc<Mutex<Desk>>,
    peer: Option<IpAddr>,
    digest: Digest32,
    number: u64,
}

impl Users {
    /// Those of the configuration.
    ///
    /// # Errors
    /// The name of the first whose hash is none.
    pub(super) fn new(users: &[User]) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        for user in users {
            let hash = user.hash.reveal();
            if hash.parse::<bcrypt::HashParts>().is_err() {
                return Err(user.name.clone());
            }
            known.insert(user.name.clone(), Hash(hash.into()));
        }
        Ok(Self(known))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Doorkeeper {
    /// `key` is random; `turns` is how many hashes are computed at once.
    pub(super) fn new(key: Digest32, turns: usize) -> Self {
        Self {
            key,
            turns: Arc::new(Semaphore::new(turns.max(1))),
            desk: Arc::default(),
        }
    }

    /// Whether `password` is that of `name`. `peer` is who asks.
    ///
    /// An unknown user's is compared with the hash of one who is known, picked by the name: so it takes as long as one who
    /// is, whatever the costs of the hashes are.
    pub(super) async fn verify(
        &self,
        users: &Users,
        name: &str,
        password: &[u8],
        peer: Option<IpAddr>,
    ) -> Verdict {
        let own = users.0.get(name);
        let Some(hash) = own.or_else(|| self.decoy(users, name)) else {
            return Verdict::Wrong;
        };
        let digest = self.digest(&[
            name.as_bytes(),
            hash.0.as_bytes(),
            &[u8::from(own.is_some())],
            password,
        ]);
        let flight = match self.flight(digest, hash, own.is_some(), password, peer) {
            Ok(flight) => flight,
            Err(verdict) => return verdict,
        };
        if flight.await {
            Verdict::Right
        } else {
            Verdict::Wrong
        }
    }

    /// The comparison, one under way where there is one; or the verdict, where it is known already.
    fn flight(
        &self,
        digest: Digest32,
        hash: &Hash,
        known: bool,
        password: &[u8],
        peer: Option<IpAddr>,
    ) -> Result<Shared<BoxFuture<'static, bool>>, Verdict> {
        let mut desk = lock(&self.desk);
        if desk.right.contains(&digest) {
            return Err(Verdict::Right);
        }
        if desk.wrong.contains(&digest) {
            return Err(Verdict::Wrong);
        }
        let under_way = desk.flights.get(&digest);
        if let Some(flight) = under_way.and_then(|(_, flight)| flight.upgrade()) {
            return Ok(flight);
        }
        let of_one = desk.waiting.get(&peer).copied().unwrap_or(0);
        let of_all: usize = desk.waiting.values().sum();
        if of_one >= MAX_WAITING_OF_ONE || of_all >= MAX_WAITING {
            return Err(Verdict::Busy);
        }
        *desk.waiting.entry(peer).or_default() += 1;
        desk.last_number += 1;
        let number = desk.last_number;
        let place = Place {
            desk: Arc::clone(&self.desk),
            peer,
            digest,
            number,
        };
        let (hash, password) = (hash.clone(), password.to_vec());
        let (turns, kept) = (Arc::clone(&self.turns), Arc::clone(&self.desk));
        let flight = async move {
            let Ok(turn) = turns.acquire_owned().await else {
                return false;
            };
            // Whoever hangs up now does not end it: the turn is given back when the processor is.
            let compared = tokio::task::spawn_blocking(move || {
                let same = bcrypt::verify(&password, &hash.0).unwrap_or(false);
                drop(turn);
                #[cfg(test)]
                {
                    lock(&kept).computed += 1;
                }
                let right = same && known;
                remember(&mut lock(&kept), digest, right);
                right
            });
            let right = compared.await.unwrap_or(false);
            drop(place);
            right
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            desk.flights.insert(digest, (number, weak));
        }
        Ok(flight)
    }

    fn decoy<'u>(&self, users: &'u Users, name: &str) -> Option<&'u Hash> {
        let [first, second, ..] = self.digest(&[name.as_bytes()]);
        let pick = usize::from(u16::from_be_bytes([first, second]));
        let index = pick.checked_rem(users.0.len())?;
        users.0.values().nth(index)
    }

    fn digest(&self, parts: &[&[u8]]) -> Digest32 {
        let mut digest = Sha256::new_with_prefix(self.key);
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            digest.update(length.to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

impl std::fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doorkeeper").finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut desk = lock(&self.desk);
        // Another one may have taken its place.
        let own = desk.flights.get(&self.digest);
        if own.is_some_and(|(number, _)| *number == self.number) {
            desk.flights.remove(&self.digest);
        }
        if let Some(count) = desk.waiting.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                desk.waiting.remove(&self.peer);
            }
        }
    }
}

fn remember(desk: &mut Desk, digest: Digest32, right: bool) {
    let known = if right {
        &mut desk.right
    } else {
        &mut desk.wrong
    };
    if known.len() >= MAX_KNOWN {
        known.clear();
    }
    known.insert(digest);
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    // What it guards has no half-done state that a panic could leave.
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WebConfig;

    const COST: u32 = 4;

    fn users(of: &[(&str, &str)]) -> Users {
        let mut yaml = "basic_auth_users:\n".to_owned();
        for (name, password) in of {
            let hash = bcrypt::hash(password, COST).unwrap();
            yaml += &format!("  \"{name}\": {hash}\n");
        }
        Users::new(&WebConfig::from_yaml(&yaml).unwrap().users).unwrap()
    }

    fn keeper() -> Doorkeeper {
        Doorkeeper::new([7; 32], 1)
    }

    fn computed(keeper: &Doorkeeper) -> usize {
        lock(&keeper.desk).computed
    }

    #[tokio::test]
    async fn passwords_are_told_apart_and_remembered() {
        let users = users(&[("alice", "a"), ("bob", "b")]);
        let keeper = keeper();
        let ask = async |name: &str, password: &str| {
            let verdict = keeper.verify(&users, name, password.as_bytes(), None).await;
            (verdict, computed(&keeper))
        };
        assert_eq!(ask("alice", "a").await, (Verdict::Right, 1));
        assert_eq!(ask("alice", "a").await, (Verdict::Right, 1));
        assert_eq!(ask("alice", "b").await, (Verdict::Wrong, 2));
        assert_eq!(ask("alice", "b").await, (Verdict::Wrong, 2));
        assert_eq!(ask("bob", "b").await, (Verdict::Right, 3));
        assert_eq!(ask("Alice", "a").await, (Verdict::Wrong, 4));
    }

    /// The reason for it is time, which is not for tests: what shows is that the work is the same.
    #[tokio::test]
    async fn a_hash_is_computed_for_unknown_users_too() {
        let users = users(&[("alice", "a")]);
        let keeper = keeper();
        // Even the password of the one whose hash it is held against does not let an unknown one in.
        for (count, name) in ["mallory", "eve", ""].into_iter().enumerate() {
            let verdict = keeper.verify(&users, name, b"a", None).await;
            assert_eq!((verdict, computed(&keeper)), (Verdict::Wrong, count + 1));
        }
    }

    #[tokio::test]
    async fn a_change_of_the_file_counts_at_once() {
        let (before, after) = (users(&[("alice", "old")]), users(&[("alice", "new")]));
        let keeper = keeper();
        let ask = async |users: &Users, password: &str| {
            keeper
                .verify(users, "alice", password.as_bytes(), None)
                .await
        };
        assert_eq!(ask(&before, "old").await, Verdict::Right);
        assert_eq!(ask(&before, "new").await, Verdict::Wrong);
        assert_eq!(ask(&after, "old").await, Verdict::Wrong);
        assert_eq!(ask(&after, "new").await, Verdict::Right);
        // Somebody who was unknown has come to be, with the very hash he was held against.
        let hash = before.0["alice"].clone();
        let mut grown = Users(before.0.clone());
        assert_eq!(
            keeper.verify(&before, "eve", b"old", None).await,
            Verdict::Wrong
        );
        grown.0.insert("eve".to_owned(), hash);
        assert_eq!(
            keeper.verify(&grown, "eve", b"old", None).await,
            Verdict::Right
        );
    }

    /// Go's bcrypt looks at 72 bytes when it compares, and so must this.
    #[tokio::test]
    async fn only_72_bytes_of_a_password_count() {
        let long = "x".repeat(72);
        let users = users(&[("alice", &long)]);
        let keeper = keeper();
        let ask = async |password: String| {
            keeper
                .verify(&users, "alice", password.as_bytes(), None)
                .await
        };
        assert_eq!(ask(format!("{long}y")).await, Verdict::Right);
        assert_eq!(ask("x".repeat(71)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_flood_is_bounded_for_each_address_and_joins_what_is_the_same() {
        let users = Arc::new(users(&[("alice", "a"), ("bob", "b")]));
        let keeper = Arc::new(keeper());
        // Nothing is compared while this is held.
        let turn = Arc::clone(&keeper.turns).acquire_owned().await.unwrap();
        let ask = |name: &'static str, password: String, last: u8| {
            let (users, keeper) = (Arc::clone(&users), Arc::clone(&keeper));
            let peer = IpAddr::from([127, 0, 0, last]);
            async move {
                keeper
                    .verify(&users, name, password.as_bytes(), Some(peer))
                    .await
            }
        };
        let mut held = Vec::new();
        let mut wait = |flight: BoxFuture<'static, Verdict>| {
            let mut flight = flight;
            // Polled once, it is in the queue.
            assert_eq!((&mut flight).now_or_never(), None);
            held.push(flight);
        };
        for n in 0..MAX_WAITING_OF_ONE {
            wait(ask("alice", format!("wrong {n}"), 1).boxed());
        }
        let full = ask("alice", "wrong".to_owned(), 1).now_or_never();
        assert_eq!(full, Some(Verdict::Busy));
        // The same again is no further one, from wherever it comes.
        wait(ask("alice", "wrong 0".to_owned(), 1).boxed());
        wait(ask("bob", "b".to_owned(), 2).boxed());
        for last in 3..250 {
            let full = lock(&keeper.desk).waiting.values().sum::<usize>() == MAX_WAITING;
            if full {
                let full = ask("bob", "x".to_owned(), last).now_or_never();
                assert_eq!(full, Some(Verdict::Busy));
                break;
            }
            wait(ask("bob", format!("wrong {last}"), last).boxed());
        }
        assert_eq!(
            lock(&keeper.desk).waiting.values().sum::<usize>(),
            MAX_WAITING
        );
        drop(turn);
        let verdicts = futures_util::future::join_all(held).await;
        let right = verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Right);
        assert_eq!(right.count(), 1);
        assert_eq!(computed(&keeper), MAX_WAITING);
        assert!(lock(&keeper.desk).waiting.is_empty());
        assert_eq!(ask("alice", "a".to_owned(), 1).await, Verdict::Right);
    }

    #[tokio::test]
    async fn who_hangs_up_leaves_the_queue() {
        let users = users(&[("alice", "a")]);
        let keeper = keeper();
        let turn = Arc::clone(&keeper.turns).acquire_owned().await.unwrap();
        {
            let mut flight = Box::pin(keeper.verify(&users, "alice", b"x", None));
            assert_eq!((&mut flight).now_or_never(), None);
            assert_eq!(lock(&keeper.desk).waiting.len(), 1);
        }
        assert!(lock(&keeper.desk).waiting.is_empty());
        drop(turn);
        assert_eq!(
            keeper.verify(&users, "alice", b"a", None).await,
            Verdict::Right
        );
        assert_eq!(computed(&keeper), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut desk = Desk::default();
        for n in 0..=u32::try_from(MAX_KNOWN).unwrap() {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&n.to_be_bytes());
            remember(&mut desk, digest, false);
        }
        assert_eq!(desk.wrong.len(), 1);
    }
}
