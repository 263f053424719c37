//! Job definitions of tasks, for where they are to run.

use super::session::{NO_IMAGE, Session};
use crate::aws::batch::Definition;
use crate::aws::target::AwsTarget;
use crate::map::resources::{self, Platform};
use crate::map::task::Resources;

/// What job definitions follow from besides the task.
#[derive(Clone)]
pub struct Definitions {
    target: AwsTarget,
    platform: Platform,
    embedded: bool,
}

impl Definitions {
    /// Those of a session.
    pub fn of(session: &Session) -> Self {
        Definitions { target: session.target.clone(), platform: session.platform(), embedded: session.is_embedded() }
    }

    /// The definition of a task with this image (the configured one when absent) and these resources, and what the
    /// caller may want to know of it.
    ///
    /// # Errors
    /// When the platform has no such size, or there is no image where one is needed; in a sentence.
    pub fn make(&self, image: Option<&str>, given: &Resources) -> Result<(Definition, Vec<String>), String> {
        let target = &self.target;
        let requirements = resources::requirements(given, self.platform).map_err(|error| error.to_string())?;
        let mut notes: Vec<String> = requirements.note.into_iter().collect();
        let image = match (image.or(target.image.as_deref()), self.embedded) {
            (Some(image), true) => {
                notes.push(format!(
                    "image {image} is not used: the embedded endpoint runs children as processes of this machine"
                ));
                image.to_owned()
            }
            (Some(image), false) => image.to_owned(),
            (None, true) => NO_IMAGE.to_owned(),
            // An endpoint named by hand is an emulator: whether it needs an image is its affair.
            (None, false) if target.is_emulated() => NO_IMAGE.to_owned(),
            (None, false) => {
                return Err(
                    "image is missing: on AWS children run in containers; give --image, BATCHMAP_IMAGE, `image` \
                            in batchmap.toml or in the specification, with batchmap in it"
                        .to_owned(),
                );
            }
        };
        let definition = Definition {
            name: String::new(),
            image,
            platform: self.platform.to_string(),
            vcpus: requirements.vcpus,
            memory_mib: requirements.memory_mib,
            gpus: requirements.gpus,
            job_role: target.job_role.clone(),
            execution_role: target.execution_role.clone(),
            log_group: target.log_group.clone(),
            assign_public_ip: target.assign_public_ip,
        };
        Ok((definition, notes))
    }
}
