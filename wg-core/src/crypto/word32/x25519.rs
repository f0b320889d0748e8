//! X25519 (RFC 7748) by a Montgomery ladder of 5 products and 4 squares per bit.

use core::hint::black_box;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::field::Field;

/// See [`super::super::named::public_key`].
pub(crate) fn public_key(private: &[u8; 32]) -> [u8; 32] {
    let mut base = [0; 32];
    let [first, ..] = &mut base;
    *first = 9;
    *x25519(private, &base)
}

/// See [`super::super::named::dh`].
pub(crate) fn dh(private: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let shared = x25519(private, public);
    let any = shared.iter().fold(0, |any, byte| any | byte);
    (black_box(any) != 0).then_some(shared)
}

/// The u-coordinate of `scalar`, clamped, times the point at `u`.
fn x25519(scalar: &[u8; 32], u: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut scalar = Zeroizing::new(*scalar);
    let [lowest, .., highest] = &mut *scalar;
    *lowest &= 0b1111_1000;
    *highest = *highest & 0b0111_1111 | 0b0100_0000;

    let mut ladder = Ladder::new(Field::from_bytes(u));
    ladder.climb(&scalar);
    ladder.affine()
}

/// Two points at a distance of the one at `u`, each as a fraction, and room to compute in.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Ladder {
    u: Field,
    x2: Field,
    z2: Field,
    x3: Field,
    z3: Field,
    a: Field,
    b: Field,
    c: Field,
}

impl Ladder {
    fn new(u: Field) -> Self {
        let [x2, z2, x3, z3] = [Field::ONE, Field::ZERO, u.clone(), Field::ONE];
        let [a, b, c] = [Field::ZERO, Field::ZERO, Field::ZERO];
        Self { u, x2, z2, x3, z3, a, b, c }
    }

    /// Makes the first point `scalar` times what it was; the scalar is clamped.
    #[inline(never)]
    fn climb(&mut self, scalar: &[u8; 32]) {
        let mut before = 0;
        for byte in scalar.iter().rev() {
            for place in (0..8).rev() {
                // The highest bit is clear: its step doubles the neutral element.
                let bit = i32::from(byte >> place & 1);
                // The compiler must not see that there are two masks: it would branch between.
                self.step(black_box(-(bit ^ before)));
                before = bit;
            }
        }
        // The lowest bit is clear too: nothing is left to swap.
    }

    /// Adds the points, which becomes the second, and doubles the first, or the second where
    /// every bit of `mask` is set.
    #[inline(never)]
    fn step(&mut self, mask: i32) {
        let Self { u, x2, z2, x3, z3, a, b, c } = self;
        // The RFC's A, B, and in x2 and x3 C and D. Exchanging the points would exchange DA and
        // CB, of which only the square of the sum and that of the difference are used.
        Field::set_sum_and_difference(a, b, x2, z2);
        Field::set_sum_and_difference(x2, c, x3, z3);
        // DA and CB.
        z2.set_product(c, a);
        z3.set_product(x2, b);
        a.change_to(x2, mask);
        b.change_to(c, mask);
        Field::set_sum_and_difference(c, x2, z2, z3);
        x3.set_square(c);
        z2.set_square(x2);
        z3.set_product(z2, u);
        // AA in c, BB in a, E in b.
        c.set_square(a);
        a.set_square(b);
        x2.set_product(c, a);
        b.set_difference(c, a);
        c.set_sum_with_121666_times(a, b);
        z2.set_product(b, c);
    }

    /// x2 / z2, by z2^(p - 2).
    fn affine(mut self) -> Zeroizing<[u8; 32]> {
        let Self { x2, z2, x3, z3, a, b, c, .. } = &mut self;
        // Beside each step, the exponent that it comes to.
        let z = z2;
        a.set_square(z); // 2
        b.set_square_times(a, 2); // 8
        c.set_product(b, z); // 9
        b.set_product(c, a); // 11
        a.set_square(b); // 22
        z3.set_product(a, c); // 2^5 - 1
        a.set_square_times(z3, 5);
        c.set_product(a, z3); // 2^10 - 1
        a.set_square_times(c, 10);
        z3.set_product(a, c); // 2^20 - 1
        a.set_square_times(z3, 20);
        x3.set_product(a, z3); // 2^40 - 1
        a.set_square_times(x3, 10);
        z3.set_product(a, c); // 2^50 - 1
        a.set_square_times(z3, 50);
        c.set_product(a, z3); // 2^100 - 1
        a.set_square_times(c, 100);
        x3.set_product(a, c); // 2^200 - 1
        a.set_square_times(x3, 50);
        c.set_product(a, z3); // 2^250 - 1
        a.set_square_times(c, 5);
        c.set_product(a, b); // 2^255 - 21
        a.set_product(x2, c);
        Zeroizing::new(a.to_bytes())
    }
}
