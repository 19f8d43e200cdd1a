//! What is known of the clients that came last: a map that does not grow past its bound, whoever comes.

use std::collections::HashMap;
use std::net::IpAddr;

/// Values by address. Of two halves the older is forgotten whole when the younger is full, so that no request has to look for what to
/// forget. An address is remembered for certain until half as many others as fit have come after it.
#[derive(Debug)]
pub(super) struct Recent<V> {
    young: HashMap<IpAddr, V>,
    old: HashMap<IpAddr, V>,
    half: usize,
}

impl<V: Copy> Recent<V> {
    /// For at most so many addresses.
    pub(super) fn new(bound: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (bound / 2).max(1) }
    }

    pub(super) fn get(&self, address: IpAddr) -> Option<V> {
        self.young.get(&address).or_else(|| self.old.get(&address)).copied()
    }

    pub(super) fn put(&mut self, address: IpAddr, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&address) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(address, value);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use proptest::prelude::*;

    impl<V> Recent<V> {
        pub(in crate::limits) fn len(&self) -> usize {
            self.young.len() + self.old.len()
        }
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_knows_those_that_came_last(
            bound in 2_usize..12,
            came in proptest::collection::vec(0_u32..20, 0..200),
        ) {
            let mut recent = Recent::new(bound);
            // Addresses in the order in which they came last, and what was put then.
            let mut model: Vec<(IpAddr, usize)> = Vec::new();
            for (value, number) in came.into_iter().enumerate() {
                let address = IpAddr::from(Ipv4Addr::from(number));
                recent.put(address, value);
                model.retain(|(other, _)| *other != address);
                model.push((address, value));
                prop_assert!(recent.len() <= bound);
                for (at, (address, value)) in model.iter().rev().enumerate() {
                    let known = recent.get(*address);
                    prop_assert!(known == Some(*value) || (known.is_none() && at >= bound / 2));
                }
            }
        }
    }
}
