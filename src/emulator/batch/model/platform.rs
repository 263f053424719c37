//! Whether a definition is for the kind of compute environments that a queue has.

use super::places::Queue;
use super::requirements::is_fargate;
use super::{Model, Refusal};

impl Model {
    /// Refuses a definition for EC2 in a queue of Fargate's environments, and the other way round: AWS checks a submission by
    /// its queue. The built-in environments, of which nothing is reserved, take both.
    pub(super) fn check_platform(&self, name: &str, queue: &Queue, platforms: &[String]) -> Result<(), Refusal> {
        let environments = queue.environments.iter().filter_map(|name| self.environments.get(name));
        let kinds = environments.filter(|environment| environment.capacity.is_some()).map(|it| it.kind.as_str());
        let wanted = is_fargate(platforms);
        for kind in kinds {
            match (wanted, kind) {
                (false, "FARGATE" | "FARGATE_SPOT") => {
                    return Err(Refusal(format!(
                        "the compute environments of job queue {name} are of type {kind}, and platformCapabilities of the job \
                         definition does not hold FARGATE"
                    )));
                }
                (true, "EC2" | "SPOT") => {
                    return Err(Refusal(format!(
                        "the compute environments of job queue {name} are of type {kind}, and the job definition is for FARGATE"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
