//! How much memory the filters of a namespace's rules may take. Without a limit, one tenant could store more rules than
//! the process has memory for, and end it for all of them.

/// Bytes that the filters of the active rules of one namespace may take: some 30,000 rules of 15 keywords.
pub const NAMESPACE_LIMIT: usize = 16 << 20;

/// Which rules are evaluated, by the sizes of their filters in the order of their creation: each that fits beside the
/// older ones. So a new rule never takes the place of an older one.
pub fn evaluated(sizes: impl IntoIterator<Item = usize>) -> Vec<bool> {
    let mut left = NAMESPACE_LIMIT;
    let fits = |size: usize| match left.checked_sub(size) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    sizes.into_iter().map(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_rules_come_first() {
        assert_eq!(evaluated([0]), [true]);
        assert_eq!(evaluated([NAMESPACE_LIMIT, 1]), [true, false]);
        assert_eq!(evaluated([NAMESPACE_LIMIT + 1, 1]), [false, true]);
        let half = NAMESPACE_LIMIT / 2;
        assert_eq!(evaluated([half, half + 1, half, 1]), [true, false, true, false]);
    }
}
