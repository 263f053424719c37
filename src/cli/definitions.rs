//! Job definitions of tasks, for where they are to run.

use super::session::{NO_IMAGE, Session};
use crate::aws::batch::Definition;
use crate::aws::target::AwsTarget;
use crate::map::resources::{self, Platform};
use crate::map::task::{BatchOptions, Resources};

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
    pub fn make(
        &self,
        image: Option<&str>,
        given: &Resources,
        options: &BatchOptions,
    ) -> Result<(Definition, Vec<String>), String> {
        let (target, injection) = (&self.target, options.injection.as_ref());
        self.check(options)?;
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
                let with = if injection.is_some() { "" } else { ", with batchmap in it" };
                return Err(format!(
                    "image is missing: on AWS children run in containers; give --image, BATCHMAP_IMAGE, `image` in \
                     batchmap.toml or in the specification{with}"
                ));
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
            secrets: options.secrets.clone(),
            shared_memory_mib: options.shared_memory_mib,
            arm64: options.arm64,
            // Processes of this machine have the worker already.
            injection: injection.filter(|_| !self.embedded).cloned(),
        };
        Ok((definition, notes))
    }

    /// What a task asks for and the place it is to run at does not have.
    fn check(&self, options: &BatchOptions) -> Result<(), String> {
        if let Some(wanted) = options.platform
            // Processes of this machine are as much the one as the other.
            && wanted != self.platform
            && !self.embedded
        {
            return Err(format!(
                "platformCapabilities is {wanted}: jobs go to queue {}, which is set up as {}; write {} or leave it out, or \
                 run this task with a queue and a `platform` that are {wanted}",
                self.target.queue, self.platform, self.platform
            ));
        }
        if options.shared_memory_mib > 0 && self.platform == Platform::Fargate && !self.embedded {
            return Err(format!(
                "extended_resources.shared_memory asks for {} MiB: Fargate gives a container none of its own; leave it out, or \
                 run this task with a queue and a `platform` that are EC2",
                options.shared_memory_mib
            ));
        }
        if options.arm64 && self.platform == Platform::Ec2 && !self.embedded {
            return Err(
                "container.architecture is ARM64: on EC2 AWS Batch takes the machines that the queue has; leave it out, and \
                 give the task a queue of ARM machines, or run it with a queue and a `platform` that are FARGATE"
                    .to_owned(),
            );
        }
        if let Some(name) = options.secrets.keys().next()
            && self.target.execution_role.is_none()
            && !self.embedded
            && !self.target.is_emulated()
        {
            return Err(format!(
                "security_context.secrets asks for {name}: AWS Batch fetches secrets with the execution role, and none is \
                 set; set `execution_role`, or read the secret in the task by the job role"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::map::inject::Injection;

    const ARN: &str = "arn:aws:ssm:eu-central-1:000000000000:parameter/token";

    fn definitions(platform: Platform, execution_role: Option<&str>) -> Definitions {
        let target = AwsTarget::standing_for_aws("p".to_owned(), Some("image".to_owned()));
        let execution_role = execution_role.map(str::to_owned);
        Definitions { target: AwsTarget { execution_role, platform, ..target }, platform, embedded: false }
    }

    #[test]
    fn another_platform_than_the_queues_is_refused() {
        let wanting = |platform| BatchOptions { platform, ..BatchOptions::default() };
        let (ec2, given) = (definitions(Platform::Ec2, None), Resources::default());
        let made = ec2.make(None, &given, &wanting(Some(Platform::Ec2))).unwrap().0;
        assert_eq!(made.platform, "EC2");
        let refused = ec2.make(None, &given, &wanting(Some(Platform::Fargate))).unwrap_err();
        assert!(refused.starts_with("platformCapabilities is FARGATE: ") && refused.contains("as EC2"), "{refused}");
        let here = Definitions { embedded: true, ..ec2 };
        assert_eq!(here.make(None, &given, &wanting(Some(Platform::Fargate))).unwrap().0.platform, "EC2");
        let fargate = definitions(Platform::Fargate, Some("role"));
        assert_eq!(fargate.make(None, &given, &wanting(None)).unwrap().0.platform, "FARGATE");
        let gpus = Resources { gpus: 1, ..given };
        assert!(fargate.make(None, &gpus, &wanting(None)).unwrap_err().contains("gpu"));
    }

    #[test]
    fn a_worker_is_injected_where_children_are_containers() {
        let injection = Some(Injection { image: "w:1".to_owned(), readonly_root: true });
        let options = BatchOptions { injection: injection.clone(), ..BatchOptions::default() };
        let (aws, given) = (definitions(Platform::Ec2, None), Resources::default());
        assert_eq!(aws.make(None, &given, &options).unwrap().0.injection, injection);
        let here = Definitions { embedded: true, ..aws };
        assert_eq!(here.make(None, &given, &options).unwrap().0.injection, None);
        let target = AwsTarget { image: None, ..here.target };
        let nameless = Definitions { target, embedded: false, ..here };
        let refused = |options| nameless.make(None, &given, options).unwrap_err();
        let none = BatchOptions::default();
        assert!(refused(&none).ends_with("with batchmap in it"));
        assert!(refused(&options).ends_with("in the specification"));
    }

    #[test]
    fn shared_memory_is_ec2s_and_the_choice_of_arm_fargates() {
        let (shared, arm) = (
            BatchOptions { shared_memory_mib: 256, ..BatchOptions::default() },
            BatchOptions { arm64: true, ..BatchOptions::default() },
        );
        let given = Resources::default();
        let (ec2, fargate) = (definitions(Platform::Ec2, None), definitions(Platform::Fargate, Some("role")));
        assert_eq!(ec2.make(None, &given, &shared).unwrap().0.shared_memory_mib, 256);
        assert!(fargate.make(None, &given, &arm).unwrap().0.arm64);
        let refused = fargate.make(None, &given, &shared).unwrap_err();
        assert!(refused.starts_with("extended_resources.shared_memory asks for 256 MiB: "), "{refused}");
        let refused = ec2.make(None, &given, &arm).unwrap_err();
        assert!(refused.starts_with("container.architecture is ARM64: "), "{refused}");
        let here = Definitions { embedded: true, ..ec2 };
        assert!(here.make(None, &given, &arm).unwrap().0.arm64);
    }

    #[test]
    fn secrets_need_the_role_that_fetches_them() {
        let secrets = BTreeMap::from([("TOKEN".to_owned(), ARN.to_owned())]);
        let options = BatchOptions { secrets: secrets.clone(), ..BatchOptions::default() };
        let given = Resources::default();
        let refused = definitions(Platform::Ec2, None).make(None, &given, &options).unwrap_err();
        assert!(refused.contains("TOKEN") && refused.contains("execution_role"), "{refused}");
        let made = definitions(Platform::Ec2, Some("role")).make(None, &given, &options).unwrap().0;
        assert_eq!(made.secrets, secrets);
        let here = Definitions { embedded: true, ..definitions(Platform::Ec2, None) };
        assert_eq!(here.make(None, &given, &options).unwrap().0.secrets, secrets);
    }
}
