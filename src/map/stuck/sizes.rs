//! What the largest of some instance types has, as far as their names tell.

/// The most that one instance may have; absent where the names do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Largest {
    /// Whole vCPUs.
    pub(super) vcpus: Option<u32>,
    /// MiB.
    pub(super) memory_mib: Option<u64>,
    /// Whether any may have GPUs; absent when that is not known.
    pub(super) gpus: Option<bool>,
}

/// GiB for each vCPU, by what the family's name begins with.
const RATIOS: [(&str, u64); 4] = [("c", 2), ("m", 4), ("r", 8), ("t", 4)];

/// Families without GPUs, by what their names begin with, and AWS's own choice, which names none with GPUs.
const PLAIN: [&str; 8] = ["c", "m", "r", "t", "i", "d", "optimal", "default"];

/// What the largest of `types` (`m5.xlarge`, `m5`, `optimal`) has.
pub(super) fn largest(types: &[String]) -> Largest {
    let vcpus: Option<Vec<u32>> = types.iter().map(|name| vcpus(name)).collect();
    let memory: Option<Vec<u64>> = types
        .iter()
        .map(|name| {
            let (_, ratio) = RATIOS.iter().find(|(family, _)| is_of(name, family))?;
            Some(u64::from(vcpus_of_a_real_size(name)?) * ratio * 1024)
        })
        .collect();
    let plain = |name: &String| PLAIN.iter().any(|family| name == family || is_of(name, family));
    Largest {
        vcpus: vcpus.and_then(|all| all.into_iter().max()),
        memory_mib: memory.and_then(|all| all.into_iter().max()),
        gpus: (!types.is_empty() && types.iter().all(plain)).then_some(false),
    }
}

/// Whether a type is of a family of that letter: the letter, then the generation's number.
fn is_of(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// The vCPUs of a type with its size in the name; `metal` and whole families do not tell.
fn vcpus(name: &str) -> Option<u32> {
    let (_, size) = name.split_once('.')?;
    match size {
        "nano" | "micro" | "small" | "medium" | "large" => Some(2),
        "xlarge" => Some(4),
        more => more.strip_suffix("xlarge")?.parse::<u32>().ok().map(|times| times * 4),
    }
}

/// The same without the sizes below `large`, which have less memory than their vCPUs would have elsewhere.
fn vcpus_of_a_real_size(name: &str) -> Option<u32> {
    name.ends_with("large").then(|| vcpus(name)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(types: &[&str]) -> Largest {
        largest(&types.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_tell_what_the_largest_has() {
        let told = |vcpus, gib: u64| Largest { vcpus: Some(vcpus), memory_mib: Some(gib * 1024), gpus: Some(false) };
        assert_eq!(of(&["m5.large"]), told(2, 8));
        assert_eq!(of(&["c6g.xlarge", "c6g.16xlarge"]), told(64, 128));
        assert_eq!(of(&["r7i.2xlarge", "c5.4xlarge"]), told(16, 64));
    }

    #[test]
    fn what_names_do_not_tell_is_not_guessed() {
        assert_eq!(of(&["optimal"]), Largest { gpus: Some(false), ..Largest::default() });
        assert_eq!(of(&["m5"]), Largest { gpus: Some(false), ..Largest::default() });
        assert_eq!(of(&["m5.large", "c5.metal"]), Largest { gpus: Some(false), ..Largest::default() });
        assert_eq!(of(&["p3.2xlarge"]), Largest { vcpus: Some(8), ..Largest::default() });
        assert_eq!(of(&["mac1.metal"]), Largest::default());
        assert_eq!(of(&["t3.small"]), Largest { vcpus: Some(2), gpus: Some(false), ..Largest::default() });
        assert_eq!(of(&[]), Largest::default());
    }
}
