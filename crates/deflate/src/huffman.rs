//! Huffman codes: lengths from counts, codes from lengths.

use crate::symbols::LITERALS_AND_LENGTHS;

/// The largest alphabet.
const SYMBOLS_MAX: usize = LITERALS_AND_LENGTHS;
/// The longest code that deflate knows.
const LENGTH_MAX: usize = 15;

/// The length of each symbol's code, none above `limit`. Symbols that do not occur have none.
///
/// At least two symbols get a code, because some decoders refuse a code that is not complete.
pub(crate) fn lengths<const N: usize>(counts: &[u32; N], limit: usize) -> [u8; N] {
    let mut lengths = [0; N];
    let mut leaves = [0; SYMBOLS_MAX];
    let leaves = rarest_first(counts, &mut leaves);
    if let [] | [_] = leaves {
        let used = leaves.first().map_or(0, |leaf| symbol(*leaf));
        lengths[used] = 1;
        lengths[usize::from(used == 0)] = 1;
        return lengths;
    }
    let mut with_length = codes_with_length(leaves, limit);
    limit_lengths(&mut with_length, limit);
    let mut rarest = leaves.iter();
    for length in (1..=limit).rev() {
        for leaf in rarest.by_ref().take(with_length[length] as usize) {
            lengths[symbol(*leaf)] = length as u8;
        }
    }
    lengths
}

/// A leaf is a count above the bits of its symbol. So sorting the leaves sorts the counts, and equal ones always the same.
const SYMBOL_BITS: u32 = SYMBOLS_MAX.ilog2() + 1;

fn symbol(leaf: u32) -> usize {
    (leaf & ((1 << SYMBOL_BITS) - 1)) as usize
}

fn rarest_first<'a>(counts: &[u32], leaves: &'a mut [u32; SYMBOLS_MAX]) -> &'a [u32] {
    let mut used = 0;
    for (symbol, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        leaves[used] = count << SYMBOL_BITS | symbol as u32;
        used += 1;
    }
    leaves[..used].sort_unstable();
    &leaves[..used]
}

/// How many codes Huffman's tree has of each length. Longer ones are counted at the limit.
///
/// Nodes are made in the order of their weights. So the two lightest are always the next leaf or the next inner node.
fn codes_with_length(leaves: &[u32], limit: usize) -> [u32; LENGTH_MAX + 1] {
    let (mut weights, mut parents) = ([0; 2 * SYMBOLS_MAX], [0; 2 * SYMBOLS_MAX]);
    for (weight, leaf) in weights.iter_mut().zip(leaves) {
        *weight = leaf >> SYMBOL_BITS;
    }
    let (mut leaf, mut inner) = (0, leaves.len());
    let root = 2 * leaves.len() - 2;
    for node in leaves.len()..=root {
        for _ in 0..2 {
            let next = if inner == node || leaf < leaves.len() && weights[leaf] <= weights[inner] {
                &mut leaf
            } else {
                &mut inner
            };
            weights[node] += weights[*next];
            parents[*next] = node;
            *next += 1;
        }
    }
    let mut with_length = [0; LENGTH_MAX + 1];
    let mut depths = [0; 2 * SYMBOLS_MAX];
    for node in (0..root).rev() {
        depths[node] = depths[parents[node]] + 1;
        if node < leaves.len() {
            with_length[limit.min(depths[node])] += 1;
        }
    }
    with_length
}

/// Lengthens codes until all have room again.
///
/// A code of the limit's length takes one share, one that is shorter by one bit twice as many, and so on. While the shares
/// are too many, a code of the longest length below the limit becomes one bit longer, and a code of the limit's length moves
/// beside it. That saves one share.
fn limit_lengths(with_length: &mut [u32; LENGTH_MAX + 1], limit: usize) {
    let shares: u32 = (1..=limit).map(|length| with_length[length] << (limit - length)).sum();
    for _ in 1 << limit..shares {
        let Some(longest) = (1..limit).rev().find(|length| with_length[*length] > 0) else { return };
        with_length[limit] -= 1;
        with_length[longest] -= 1;
        with_length[longest + 1] += 2;
    }
}

/// The code of each symbol, its first bit lowest (RFC 1951, section 3.2.2).
pub(crate) fn codes<const N: usize>(lengths: &[u8; N]) -> [u16; N] {
    let mut with_length = [0; LENGTH_MAX + 1];
    for length in lengths {
        with_length[usize::from(*length)] += 1;
    }
    with_length[0] = 0;
    let mut next_codes = [0_u16; LENGTH_MAX + 1];
    for length in 1..=LENGTH_MAX {
        next_codes[length] = (next_codes[length - 1] + with_length[length - 1]) << 1;
    }
    let mut codes = [0; N];
    for (code, length) in codes.iter_mut().zip(lengths).filter(|(_, length)| **length > 0) {
        let next = &mut next_codes[usize::from(*length)];
        *code = next.reverse_bits() >> (16 - length);
        *next += 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shares of 2^15: a complete code has them all.
    fn shares(lengths: &[u8]) -> u32 {
        lengths.iter().filter(|length| **length > 0).map(|length| 1 << (15 - length)).sum()
    }

    fn bits(counts: &[u32], lengths: &[u8]) -> u32 {
        counts.iter().zip(lengths).map(|(count, length)| count * u32::from(*length)).sum()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Section 3.2.2, the example of ABCDEFGH, its bits reversed.
        let expected = [0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111];
        assert_eq!(codes(&[3, 3, 3, 3, 3, 2, 4, 4]), expected);
    }

    #[test]
    fn frequent_symbols_have_short_codes() {
        assert_eq!(lengths(&[5, 0, 1, 2, 1], 15), [1, 0, 3, 2, 3]);
    }

    #[test]
    fn one_symbol_or_none_makes_a_complete_code_too() {
        assert_eq!(lengths(&[0, 0, 0], 15), [1, 1, 0]);
        assert_eq!(lengths(&[7, 0, 0], 15), [1, 1, 0]);
        assert_eq!(lengths(&[0, 0, 7], 15), [1, 0, 1]);
    }

    /// Fibonacci's numbers make the deepest tree.
    #[test]
    fn the_limit_holds_and_the_code_stays_complete() {
        let mut counts = [1_u32; 19];
        for index in 2..19 {
            counts[index] = counts[index - 1] + counts[index - 2];
        }
        for limit in [5, 7, 13, 15] {
            let lengths = lengths(&counts, limit);
            assert_eq!(usize::from(*lengths.iter().max().unwrap()), limit);
            assert_eq!(shares(&lengths), 1 << 15);
        }
    }

    proptest! {
        #[test]
        fn any_counts_make_a_complete_code_that_is_optimal_without_a_limit(
            counts in proptest::array::uniform30(prop_oneof![Just(0_u32), 1..4_u32, 0..1_000_u32]),
        ) {
            let unlimited = lengths(&counts, 15);
            prop_assert_eq!(shares(&unlimited), 1 << 15);
            if counts.iter().filter(|count| **count > 0).count() > 1 {
                prop_assert_eq!(bits(&counts, &unlimited), optimal_bits(&counts));
            }
            let limited = lengths(&counts, 6);
            prop_assert_eq!(shares(&limited), 1 << 15);
            prop_assert!(limited.iter().all(|length| *length <= 6));
        }
    }

    /// Each merge of the two lightest weights lengthens all codes below it by one bit.
    fn optimal_bits(counts: &[u32]) -> u32 {
        let mut weights: Vec<u32> = counts.iter().copied().filter(|count| *count > 0).collect();
        let mut bits = 0;
        while weights.len() > 1 {
            weights.sort_unstable_by(|left, right| right.cmp(left));
            let merged = weights.pop().unwrap() + weights.pop().unwrap();
            bits += merged;
            weights.push(merged);
        }
        bits
    }
}
