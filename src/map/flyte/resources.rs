//! Requests and limits as the one amount that Batch gives a container.

use std::collections::BTreeMap;

use super::quantity;
use crate::idl::core::Resources as Given;
use crate::idl::core::resources::{ResourceEntry, ResourceName};
use crate::map::spec::quantity::Wrong;
use crate::map::spec::{Fault, Faults};
use crate::map::task::Resources;

/// No machine of Batch has more.
const MAX_GPUS: u32 = 16;
/// Bytes of disk that every task has: Fargate's own 20 GiB, and more on the machines that Batch starts.
const DISK: f64 = 20.0 * 1_073_741_824.0;

/// What is asked for, by name: the field and the quantity.
#[derive(Clone, Debug, Default)]
pub(super) struct Amounts {
    pub(super) requests: BTreeMap<ResourceName, (String, String)>,
    pub(super) limits: BTreeMap<ResourceName, (String, String)>,
}

impl Amounts {
    /// Reads what stands in `field`.
    pub(super) fn read(given: Option<&Given>, field: &str, faults: &mut Faults) -> Self {
        let mut amounts = Amounts::default();
        let Some(given) = given else { return amounts };
        for (key, entries, list) in
            [("requests", &given.requests, &mut amounts.requests), ("limits", &given.limits, &mut amounts.limits)]
        {
            for entry in entries {
                let field = format!("{field}.{key}.{}", shown(entry));
                match entry.name() {
                    ResourceName::Unknown => {
                        faults.0.push(Fault::text(
                            field,
                            &entry.value,
                            "is no resource of a Batch job",
                            "leave it out",
                        ));
                    }
                    name => drop(list.insert(name, (field, entry.value.clone()))),
                }
            }
        }
        amounts
    }

    /// Takes what `above` asks for in the place of the same here.
    pub(super) fn lay_over(&mut self, above: Amounts) {
        self.requests.extend(above.requests);
        self.limits.extend(above.limits);
    }

    /// The larger of the request and the limit, as `read` reads them.
    fn larger<T: PartialOrd>(
        &self,
        name: ResourceName,
        faults: &mut Faults,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let mut largest = None;
        for (field, text) in [self.requests.get(&name), self.limits.get(&name)].into_iter().flatten() {
            match read(text) {
                Ok(amount) if largest.as_ref().is_none_or(|found| amount > *found) => largest = Some(amount),
                Ok(_) => {}
                Err((problem, fix)) => faults.0.push(Fault::of(field, &quantity::shown(text), problem, fix)),
            }
        }
        largest
    }
}

fn shown(entry: &ResourceEntry) -> String {
    match entry.name() {
        ResourceName::Unknown => format!("{}", entry.name),
        name => name.as_str_name().to_lowercase(),
    }
}

/// What the container gets. Nobody's request is cut: of a request and a limit it is the larger.
pub(super) fn resources(amounts: &Amounts, faults: &mut Faults) -> Resources {
    let default = Resources::default();
    for name in [ResourceName::Storage, ResourceName::EphemeralStorage] {
        let read = |text: &str| match quantity::bytes(text) {
            Ok(bytes) if bytes > DISK => Err((
                "is more disk than batchmap's job definitions ask for".to_owned(),
                "ask for 20Gi at most, or leave it out and give the task a queue of machines with large disks"
                    .to_owned(),
            )),
            other => other,
        };
        amounts.larger(name, faults, read);
    }
    Resources {
        cpu_milli: amounts.larger(ResourceName::Cpu, faults, quantity::cpu).unwrap_or(default.cpu_milli),
        memory_mib: amounts.larger(ResourceName::Memory, faults, quantity::memory).unwrap_or(default.memory_mib),
        gpus: amounts.larger(ResourceName::Gpu, faults, |text| quantity::pieces(text, MAX_GPUS)).unwrap_or_default(),
    }
}
