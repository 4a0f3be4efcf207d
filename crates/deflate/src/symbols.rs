//! The symbols of deflate (RFC 1951, section 3.2.5).

/// Symbols of literals, of the end of a block, and of lengths. The last two never occur.
pub(crate) const LITERALS_AND_LENGTHS: usize = 288;
/// Symbols of distances. The last two never occur.
pub(crate) const DISTANCES: usize = 32;
/// The symbol that ends a block.
pub(crate) const END_OF_BLOCK: usize = 256;
/// The symbol of the shortest lengths; those of longer ones follow.
pub(crate) const FIRST_LENGTH: usize = 257;

/// The shortest match that has a symbol.
pub(crate) const LENGTH_MIN: usize = 3;
/// The longest match that has a symbol.
pub(crate) const LENGTH_MAX: usize = 258;
/// The farthest that a match can refer back.
pub const DISTANCE_MAX: usize = 32_768;
/// The most bytes that one stored block holds.
pub(crate) const STORED_MAX: usize = 65_535;

/// The lengths from [`LENGTH_MIN`] to [`LENGTH_MAX`].
pub(crate) const LENGTHS: usize = LENGTH_MAX - LENGTH_MIN + 1;
const LENGTH_CLASSES: usize = 29;

/// The least length of each class. A class has one symbol, and extra bits say which of its lengths is meant.
const CLASS_LENGTH_MIN: [usize; LENGTH_CLASSES] =
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];

/// The extra bits of each class of lengths.
const CLASS_EXTRA_BITS: [u8; LENGTH_CLASSES] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

/// How deflate writes a length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// The symbol of its class.
    pub(crate) symbol: usize,
    /// The value of the extra bits.
    pub(crate) extra: u32,
}

/// Each length from [`LENGTH_MIN`] on.
pub(crate) static LENGTH_SYMBOLS: [Length; LENGTHS] = {
    let mut lengths = [Length { symbol: 0, extra: 0 }; LENGTHS];
    let (mut index, mut class) = (0, 0);
    while index < LENGTHS {
        let length = index + LENGTH_MIN;
        if class + 1 < LENGTH_CLASSES && length == CLASS_LENGTH_MIN[class + 1] {
            class += 1;
        }
        let extra = (length - CLASS_LENGTH_MIN[class]) as u32;
        lengths[index] = Length { symbol: FIRST_LENGTH + class, extra };
        index += 1;
    }
    lengths
};

/// How many extra bits a symbol of literals and lengths has.
pub(crate) fn length_extra_bits(symbol: usize) -> u8 {
    symbol.checked_sub(FIRST_LENGTH).and_then(|class| CLASS_EXTRA_BITS.get(class)).copied().unwrap_or(0)
}

/// How many extra bits a symbol of distances has.
pub(crate) const fn distance_extra_bits(symbol: usize) -> u8 {
    if symbol < 4 { 0 } else { (symbol / 2 - 1) as u8 }
}

/// The symbol of a distance, and the value of its extra bits.
///
/// Two symbols share each power of two. So the symbol follows from the highest bit and the bit below it.
#[inline(always)]
pub(crate) const fn distance_symbol(distance: usize) -> (usize, u32) {
    let offset = (distance - 1) as u32;
    if offset < 4 {
        return (offset as usize, 0);
    }
    let extra_bits = offset.ilog2() - 1;
    let symbol = 2 * extra_bits + (offset >> extra_bits);
    (symbol as usize, offset & ((1 << extra_bits) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_lengths_are_those_of_the_rfc() {
        let check = |length: usize, symbol, extra, extra_bits| {
            let got = LENGTH_SYMBOLS[length - LENGTH_MIN];
            assert_eq!((got.symbol, got.extra, length_extra_bits(symbol)), (symbol, extra, extra_bits), "{length}");
        };
        check(3, 257, 0, 0);
        check(10, 264, 0, 0);
        check(11, 265, 0, 1);
        check(12, 265, 1, 1);
        check(13, 266, 0, 1);
        check(130, 280, 15, 4);
        check(131, 281, 0, 5);
        check(257, 284, 30, 5);
        check(258, 285, 0, 0);
    }

    #[test]
    fn symbols_of_distances_are_those_of_the_rfc() {
        let check = |distance, symbol, extra| {
            assert_eq!(distance_symbol(distance), (symbol, extra), "{distance}");
        };
        check(1, 0, 0);
        check(4, 3, 0);
        check(5, 4, 0);
        check(6, 4, 1);
        check(7, 5, 0);
        check(256, 15, 63);
        check(257, 16, 0);
        check(24_576, 28, 8_191);
        check(24_577, 29, 0);
        check(32_768, 29, 8_191);
        assert_eq!(length_extra_bits(END_OF_BLOCK), 0);
        assert_eq!(distance_extra_bits(3), 0);
        assert_eq!(distance_extra_bits(4), 1);
        assert_eq!(distance_extra_bits(29), 13);
    }
}
