//! A job definition that any endpoint takes.

use batchmap::aws::batch::Definition;

/// The smallest on EC2, under this name.
pub fn small(name: &str) -> Definition {
    Definition {
        name: name.to_owned(),
        image: "public.ecr.aws/docker/library/busybox:stable".to_owned(),
        platform: "EC2".to_owned(),
        vcpus: "1".to_owned(),
        memory_mib: 128,
        gpus: 0,
        job_role: None,
        execution_role: None,
        log_group: None,
        assign_public_ip: false,
        secrets: Default::default(),
        shared_memory_mib: 0,
        arm64: false,
        injection: None,
    }
}
