//! Amounts of what a compute environment gives its children.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};

/// vCPUs, memory and GPUs. Sums stay at the largest number rather than overflow: no request may bring the endpoint down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Amount {
    /// Thousandths of a vCPU.
    pub(in super::super) milli_vcpus: u64,
    /// MiB.
    pub(in super::super) memory_mib: u64,
    pub(in super::super) gpus: u64,
}

impl Amount {
    /// Whether this much more fits into `capacity` beside what is `used`.
    pub(in super::super) fn fits(self, used: Amount, capacity: Amount) -> bool {
        used.milli_vcpus.saturating_add(self.milli_vcpus) <= capacity.milli_vcpus
            && used.memory_mib.saturating_add(self.memory_mib) <= capacity.memory_mib
            && used.gpus.saturating_add(self.gpus) <= capacity.gpus
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.milli_vcpus = self.milli_vcpus.saturating_add(other.milli_vcpus);
        self.memory_mib = self.memory_mib.saturating_add(other.memory_mib);
        self.gpus = self.gpus.saturating_add(other.gpus);
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Amount) {
        self.milli_vcpus = self.milli_vcpus.saturating_sub(other.milli_vcpus);
        self.memory_mib = self.memory_mib.saturating_sub(other.memory_mib);
        self.gpus = self.gpus.saturating_sub(other.gpus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_fits_when_each_part_does() {
        let amount = |milli_vcpus, memory_mib, gpus| Amount { milli_vcpus, memory_mib, gpus };
        let capacity = amount(1000, 512, 1);
        let mut used = amount(500, 256, 0);
        assert!(amount(500, 256, 1).fits(used, capacity));
        for more in [amount(501, 0, 0), amount(0, 257, 0), amount(0, 0, 2)] {
            assert!(!more.fits(used, capacity), "{more:?}");
        }
        used += amount(250, 1, 1);
        used -= amount(500, 256, 0);
        assert_eq!(used, amount(250, 1, 1));
    }

    #[test]
    fn the_largest_amounts_do_not_overflow() {
        let most = Amount { milli_vcpus: u64::MAX, memory_mib: u64::MAX, gpus: u64::MAX };
        let mut used = most;
        used += most;
        assert_eq!(used, most);
        assert!(!most.fits(Amount { gpus: 1, ..Amount::default() }, Amount { gpus: 1, ..Amount::default() }));
        let mut used = Amount::default();
        used -= most;
        assert_eq!(used, Amount::default());
    }
}
