//! The blocks a dump has printed so far, as a tree of their text.
//!
//! What goroutines of one stack do not share, the arguments of calls and the number of the creator, cuts a block into
//! parts. Each known block is a path of them from the root. The part that followed another for the first time stands
//! right behind it, so most of a path lies in one piece, and which part comes next, and how long it is, is foreseen: the
//! text is hashed there, and no lines are looked for. Where paths part, a table is asked, first for one that is as long.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::block::GapKind;
use crate::decode::text::ask_ahead;

/// The most nodes, of 16 bytes. When there are so many the tree is forgotten, and grows again.
const MAX_NODES: usize = 1 << 17;
/// Nodes that are allocated at a time, so that growing copies nothing.
const PAGE_NODES: usize = 1 << 12;

/// The longest part kept: a path and two names of functions take some 200. A hostile dump can have so many bytes hashed in
/// vain for every few of its own.
const MAX_PART_BYTES: usize = 512;

/// A part of a block, told by its text and by what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Of its text, keyed.
    hash: u64,
    len: u16,
    then: GapKind,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    hash: u64,
    /// The number of what is known of the block, where it ends with this part.
    known: u32,
    len: u16,
    /// Nothing: the block before did not read to its end, and this is not what follows there.
    then: Option<GapKind>,
}

/// A place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(u32);

impl At {
    /// Where blocks begin.
    pub(super) const ROOT: Self = Self(u32::MAX);

    fn below(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// See the module. `T`: what is known of a block.
#[derive(Debug)]
pub(super) struct Tree<T> {
    pages: Vec<Vec<Node>>,
    len: u32,
    /// The nodes that do not stand right behind the one they follow, each with the hash of that way.
    branches: HashTable<(u64, At)>,
    known: Vec<T>,
    hasher: RandomState,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            len: 0,
            branches: HashTable::new(),
            known: Vec::new(),
            hasher: RandomState::default(),
        }
    }
}

impl<T: Copy> Tree<T> {
    /// Goes on from a place in the tree, and in a text that begins with a part, as far as what follows there is foreseen, or
    /// known and as long as that; whether the block ended. Cost: one hash of the text, and a look at each byte of what lies
    /// between the parts.
    pub(super) fn follow(&self, at: &mut At, text: &mut &[u8]) -> bool {
        let mut nodes = [].iter();
        loop {
            if nodes.as_slice().is_empty() {
                nodes = behind(&self.pages, at.below()).iter();
            }
            let Some((node, then)) = nodes.next().and_then(|node| Some((node, node.then?))) else {
                return false;
            };
            let Some((part, rest)) = text.split_at_checked(node.len.into()) else {
                return false;
            };
            ask_ahead(rest);
            // Looked at first, since it costs less than the hash.
            let Some(below) = then.below(part, rest) else {
                return false;
            };
            let hash = self.hash(part);
            *at = if hash == node.hash {
                at.below()
            } else if let Some(other) = self.branch(way(*at, hash, then)) {
                nodes = [].iter();
                other
            } else {
                return false;
            };
            *text = below;
            if then.is_end() {
                return true;
            }
        }
    }

    /// What tells a part; nothing where it is too long to be kept.
    pub(super) fn part(&self, text: &[u8], then: GapKind) -> Option<Part> {
        if text.len() > MAX_PART_BYTES {
            return None;
        }
        let len = u16::try_from(text.len()).ok()?;
        Some(Part {
            hash: self.hash(text),
            len,
            then,
        })
    }

    /// Where a part leads to.
    pub(super) fn find(&self, at: At, part: &Part) -> Option<At> {
        let same = |at| {
            self.node(at).is_some_and(|node| {
                (node.hash, node.len, node.then) == (part.hash, part.len, Some(part.then))
            })
        };
        if same(at.below()) {
            return Some(at.below());
        }
        self.branch(way(at, part.hash, part.then))
    }

    fn branch(&self, way: u64) -> Option<At> {
        let found = self.branches.find(way, |&(known, _)| known == way);
        found.map(|&(_, to)| to)
    }

    /// Where a part leads to, be it a new place; nothing when there was no room for one.
    pub(super) fn grow(&mut self, at: At, part: &Part) -> Option<At> {
        // Behind the last node there is nothing yet.
        if At(self.len) != at.below()
            && let Some(known) = self.find(at, part)
        {
            return Some(known);
        }
        if usize::try_from(self.len).is_ok_and(|len| len >= MAX_NODES) {
            // What they take is kept for those to come.
            self.pages.iter_mut().for_each(Vec::clear);
            self.branches.clear();
            self.known.clear();
            self.len = 0;
            return None;
        }
        let new = Node {
            hash: part.hash,
            known: u32::MAX,
            len: part.len,
            then: Some(part.then),
        };
        if At(self.len) == at.below() {
            return self.push(new);
        }
        // What is pushed now must not be foreseen where the last block broke off.
        let last = At(self.len.wrapping_sub(1));
        if self
            .node(last)
            .is_some_and(|last| !last.then.is_none_or(GapKind::is_end))
        {
            self.push(Node { then: None, ..new })?;
        }
        let place = self.push(new)?;
        let way = way(at, part.hash, part.then);
        self.branches
            .insert_unique(way, (way, place), |&(way, _)| way);
        Some(place)
    }

    #[inline]
    fn push(&mut self, node: Node) -> Option<At> {
        let page = usize::try_from(self.len).ok()? / PAGE_NODES;
        if self.pages.len() <= page {
            self.pages.push(Vec::with_capacity(PAGE_NODES));
        }
        self.pages.get_mut(page)?.push(node);
        let at = At(self.len);
        self.len += 1;
        Some(at)
    }

    /// What is known of the block that ends here.
    pub(super) fn known(&self, at: At) -> Option<T> {
        let number = usize::try_from(self.node(at)?.known).ok()?;
        self.known.get(number).copied()
    }

    /// Remembers what is known of it.
    pub(super) fn remember(&mut self, At(at): At, known: T) {
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let place = usize::try_from(at).unwrap_or(usize::MAX);
        let page = self.pages.get_mut(place / PAGE_NODES);
        if let Some(node) = page.and_then(|page| page.get_mut(place % PAGE_NODES)) {
            node.known = number;
            self.known.push(known);
        }
    }

    fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        hasher.finish()
    }

    fn node(&self, at: At) -> Option<&Node> {
        node(&self.pages, at)
    }
}

/// The hash of the way from a place to a part: that of the part is keyed and spread already.
fn way(At(from): At, part: u64, then: GapKind) -> u64 {
    let place = (u64::from(from) << 2) | then.number();
    part.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The nodes of a page from a place on.
fn behind(pages: &[Vec<Node>], At(at): At) -> &[Node] {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let page = pages.get(at / PAGE_NODES);
    page.and_then(|page| page.get(at % PAGE_NODES..))
        .unwrap_or_default()
}

fn node(pages: &[Vec<Node>], at: At) -> Option<&Node> {
    behind(pages, at).first()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes along words, each followed by a line end, and adds what is not there.
    fn grow(tree: &mut Tree<u32>, words: &[&str]) -> Option<At> {
        let parts = words.iter().enumerate().map(|(number, word)| {
            let last = number + 1 == words.len();
            let then = if last {
                GapKind::Blank
            } else {
                GapKind::Arguments
            };
            (word.as_bytes(), then)
        });
        let mut at = At::ROOT;
        for (word, then) in parts {
            let part = tree.part(word, then).unwrap();
            at = tree.grow(at, &part)?;
        }
        Some(at)
    }

    fn know(tree: &mut Tree<u32>, words: &[&str], known: u32) {
        let at = grow(tree, words).unwrap();
        tree.remember(at, known);
    }

    /// What is known of a text, if it is foreseen from the root on, and how much of it was.
    fn follow(tree: &Tree<u32>, text: &str) -> (Option<u32>, usize) {
        let (mut at, mut rest) = (At::ROOT, text.as_bytes());
        let ended = tree.follow(&mut at, &mut rest);
        (tree.known(at).filter(|_| ended), text.len() - rest.len())
    }

    #[test]
    fn what_came_first_is_foreseen_and_the_rest_is_found() {
        let mut tree = Tree::default();
        know(&mut tree, &["a(", "b(", "end\n\n"], 1);
        know(&mut tree, &["a(", "c(", "end\n\n"], 2);
        know(&mut tree, &["d(", "b(", "end\n\n"], 3);
        know(&mut tree, &["a(", "long(", "end\n\n"], 4);
        for (text, known) in [
            ("a(0x1)\nb({0x2, 0x3?}, 0x4)\nend\n\nmore", 1),
            // As long as what is foreseen.
            ("a(0x1)\nc()\nend\n\nmore", 2),
            ("d()\nb(0x1, 0x2, 0x3, 0x4, 0x5)\nend\n\nmore", 3),
        ] {
            let all = text.len() - "more".len();
            assert_eq!(follow(&tree, text), (Some(known), all), "{text}");
        }
        // Longer ones are not looked for here, nor does what comes later change where one is.
        for text in ["a(0x1)\nlong()\nend\n\nmore", "a(0x1)\nd()\nend\n\nmore"] {
            assert_eq!(follow(&tree, text), (None, "a(0x1)\n".len()), "{text}");
        }
        for (words, known) in [
            (["a(", "b("], 1),
            (["a(", "c("], 2),
            (["d(", "b("], 3),
            (["a(", "long("], 4),
        ] {
            let at = grow(&mut tree, &[words[0], words[1], "end\n\n"]).unwrap();
            assert_eq!(tree.known(at), Some(known), "{words:?}");
        }
    }

    #[test]
    fn what_is_as_long_is_found_behind_whatever_follows_it() {
        use GapKind::{Arguments, Blank, Header, Number};
        let blocks: [&[(&str, GapKind)]; 5] = [
            &[("a(", Arguments), ("by f", Number), ("at 1\n\n", Blank)],
            &[("a(", Arguments), ("by g", Number), ("at 1\n\n", Blank)],
            &[("a(", Arguments), ("by f", Number), ("at 2\n\n", Blank)],
            &[("a(", Arguments), ("by h", Number), ("at 3\n", Header)],
            &[("a(", Arguments), ("by h", Number), ("at 4\n", Header)],
        ];
        let mut tree = Tree::default();
        for (known, block) in blocks.iter().enumerate() {
            let mut at = At::ROOT;
            for (text, then) in *block {
                let part = tree.part(text.as_bytes(), *then).unwrap();
                at = tree.grow(at, &part).unwrap();
            }
            tree.remember(at, u32::try_from(known).unwrap());
        }
        let header = "goroutine 7 [select]:\n";
        for (text, known, rest) in [
            ("a()\nby f in goroutine 1\nat 1\n\n", Some(0), ""),
            ("a(0x1)\nby g in goroutine 23\nat 1\n\n", Some(1), ""),
            ("a()\nby f in goroutine 4\nat 2\n\n", Some(2), ""),
            ("a()\nby h in goroutine 4\nat 3\n", Some(3), ""),
            ("a()\nby h in goroutine 4\nat 4\n", Some(4), ""),
            // Known, but not here.
            ("a()\nby g in goroutine 4\nat 2\n\n", None, "at 2\n\n"),
            ("a()\nby h in goroutine 4\nat 1\n\n", None, "at 1\n\n"),
            // Something else follows it.
            ("a()\nby h in goroutine 4\nat 4\n\n", None, "at 4\n\n"),
        ] {
            // What is looked at behind the arguments are whole words of eight bytes.
            let text = format!("{text}{header}");
            let here = text.len() - rest.len() - header.len();
            assert_eq!(follow(&tree, &text), (known, here), "{text}");
        }
    }

    #[test]
    fn what_another_block_begins_with_is_not_foreseen_where_one_broke_off() {
        let mut tree = Tree::default();
        know(&mut tree, &["x(", "y(", "z\n\n"], 1);
        // Of this one more was expected, and the next one begins elsewhere.
        let part = tree.part(b"a(", GapKind::Arguments).unwrap();
        tree.grow(At::ROOT, &part).unwrap();
        know(&mut tree, &["x(", "b(", "end\n\n"], 2);
        let mut at = tree.find(At::ROOT, &part).unwrap();
        let text = "b(0x1)\nend\n\nmore text";
        let mut rest = text.as_bytes();
        assert!(!tree.follow(&mut at, &mut rest));
        assert_eq!(rest, text.as_bytes());
    }

    #[test]
    fn arguments_with_a_parenthesis_are_not_foreseen() {
        let mut tree = Tree::default();
        know(&mut tree, &["a(", "end\n\n"], 1);
        for (text, known) in [
            ("a(0x1)\nend\n\n........", Some(1)),
            ("a(0x1)\r\nend\n\n........", Some(1)),
            ("a(...)\nend\n\n........", Some(1)),
            ("a(0x1)(0x2)\nend\n\n........", None),
            ("a(0x1\nend\n\n........", None),
            ("a(0x1)\r\r\nend\n\n........", None),
        ] {
            assert_eq!(follow(&tree, text).0, known, "{text:?}");
        }
    }

    #[test]
    fn a_long_part_is_not_kept() {
        let tree = Tree::<u32>::default();
        let part = |len| tree.part(&vec![b'x'; len], GapKind::Arguments);
        assert!(part(MAX_PART_BYTES).is_some());
        assert!(part(MAX_PART_BYTES + 1).is_none());
    }

    #[test]
    fn a_full_tree_is_forgotten_and_grows_again() {
        let mut tree = Tree::default();
        let mut forgotten = 0;
        for number in 0..100_000 {
            let (call, end) = (format!("call{number}("), "end\n\n");
            if grow(&mut tree, &[&call, end]).is_none() {
                forgotten += 1;
                assert_eq!((tree.len, tree.pages.iter().map(Vec::len).sum()), (0, 0));
            }
            know(&mut tree, &[&call, end], number);
            let text = format!("{call})\nend\n\n");
            let part = tree.part(call.as_bytes(), GapKind::Arguments).unwrap();
            let mut at = tree.find(At::ROOT, &part).unwrap();
            let mut rest = &text.as_bytes()[call.len() + ")\n".len()..];
            assert!(tree.follow(&mut at, &mut rest));
            assert_eq!(tree.known(at), Some(number));
        }
        assert_eq!(forgotten, 1);
    }
}
