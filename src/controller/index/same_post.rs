//! The PostLinks of one post: which of them counts, and which others that concerns. A broken template can give thousands of
//! PostLinks one id, so no change looks at all of them.

use crate::domain::post_link::PostClaim;
use std::collections::{BTreeSet, HashMap};

/// PostLinks by the hash of their post. Most posts have one PostLink, which costs one small entry.
#[derive(Default)]
pub(super) struct SamePost {
    posts: HashMap<u64, Slots>,
}

enum Slots {
    One(u32),
    Many(Box<Many>),
}

#[derive(Default)]
struct Many {
    /// Those that can count, the first one counts.
    claims: BTreeSet<(PostClaim, u32)>,
    all: BTreeSet<u32>,
}

impl SamePost {
    /// `claim_of` is the claim of a slot that is already here.
    pub(super) fn insert(
        &mut self,
        post: u64,
        slot: u32,
        claim: Option<PostClaim>,
        claim_of: impl Fn(u32) -> Option<PostClaim>,
    ) {
        match self.posts.get_mut(&post) {
            None => {
                self.posts.insert(post, Slots::One(slot));
            }
            Some(Slots::One(first)) if *first == slot => {}
            Some(slots) => {
                if let Slots::One(first) = slots {
                    let mut many = Many::default();
                    many.add(*first, claim_of(*first));
                    *slots = Slots::Many(Box::new(many));
                }
                if let Slots::Many(many) = slots {
                    many.add(slot, claim);
                }
            }
        }
    }

    /// `claim` is the one it was inserted with.
    pub(super) fn remove(&mut self, post: u64, slot: u32, claim: Option<PostClaim>) {
        let empty = match self.posts.get_mut(&post) {
            Some(Slots::One(only)) => *only == slot,
            Some(Slots::Many(many)) => {
                many.all.remove(&slot);
                if let Some(claim) = claim {
                    many.claims.remove(&(claim, slot));
                }
                many.all.is_empty()
            }
            None => false,
        };
        if empty {
            self.posts.remove(&post);
        }
    }

    /// Of several PostLinks of a post, the slot of the one that counts.
    pub(super) fn first(&self, post: u64) -> Option<u32> {
        match self.posts.get(&post)? {
            Slots::One(_) => None,
            Slots::Many(many) => many.claims.first().map(|(_, slot)| *slot),
        }
    }

    /// Of the PostLinks of a post without this slot, the claim that counts.
    pub(super) fn first_other(&self, post: u64, slot: u32) -> Option<PostClaim> {
        match self.posts.get(&post)? {
            Slots::One(_) => None,
            Slots::Many(many) => {
                many.claims.iter().find(|(_, other)| *other != slot).map(|(claim, _)| claim.clone())
            }
        }
    }

    /// All slots of a post that has several.
    pub(super) fn all(&self, post: u64) -> impl Iterator<Item = u32> {
        let many = match self.posts.get(&post) {
            Some(Slots::Many(many)) => Some(&many.all),
            _ => None,
        };
        many.into_iter().flatten().copied()
    }
}

impl Many {
    fn add(&mut self, slot: u32, claim: Option<PostClaim>) {
        self.all.insert(slot);
        if let Some(claim) = claim {
            self.claims.insert((claim, slot));
        }
    }
}
