//! Job definitions: named by their content and registered once.

use crate::aws::batch::{Batch, BatchError, Definition};

/// The name of a definition with this content: AWS makes a new revision of every registration, even of an equal one,
/// so the content is in the name and what exists is not registered again.
pub fn name(definition: &Definition) -> String {
    let mut unnamed = definition.clone();
    unnamed.name = String::new();
    let content = serde_json::to_vec(&unnamed).expect("a definition is plain data");
    let hash = blake3::hash(&content).to_hex();
    format!("batchmap-{}", &hash.as_str()[..20])
}

/// The ARN of the definition: that of an active revision, or of a new one.
///
/// # Errors
/// When AWS refuses the look-up or the registration.
pub async fn ensure(batch: &dyn Batch, mut definition: Definition) -> Result<String, BatchError> {
    definition.name = name(&definition);
    match batch.find_definition(&definition.name).await? {
        Some(arn) => Ok(arn),
        None => batch.register(&definition).await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::aws::batch::Injection;

    fn definition() -> Definition {
        Definition {
            name: "whatever".to_owned(),
            image: "alpine".to_owned(),
            platform: "EC2".to_owned(),
            vcpus: "1".to_owned(),
            memory_mib: 2048,
            gpus: 0,
            job_role: None,
            execution_role: None,
            log_group: None,
            assign_public_ip: false,
            secrets: BTreeMap::new(),
            shared_memory_mib: 0,
            arm64: false,
            injection: None,
        }
    }

    #[test]
    fn the_name_follows_the_content_alone() {
        let renamed = Definition { name: "other".to_owned(), ..definition() };
        assert_eq!(name(&renamed), name(&definition()));
        let larger = Definition { memory_mib: 4096, ..definition() };
        assert_ne!(name(&larger), name(&definition()));
        let injecting = |image: &str, readonly_root| {
            let injection = Some(Injection { image: image.to_owned(), readonly_root });
            name(&Definition { injection, ..definition() })
        };
        let names = [name(&definition()), injecting("w:1", false), injecting("w:2", false), injecting("w:1", true)];
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 4);
    }
}
