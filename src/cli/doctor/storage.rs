//! The bucket, what may be done in it, and the log group.

use bytes::Bytes;

use super::Report;
use crate::aws::account::AccountError;
use crate::aws::store::{Store, StoreError};
use crate::cli::Exit;
use crate::cli::logs::DEFAULT_GROUP;
use crate::cli::session::Session;
use crate::run::{launch, now_ms};

/// A clock that is further off makes signatures invalid soon: AWS takes a quarter of an hour.
const SKEW_MS: u64 = 5 * 60 * 1000;

/// Whether executions can keep what they keep.
pub(super) async fn check(session: &Session, report: &mut Report) -> bool {
    bucket(session, report).await && objects(session, report).await
}

async fn bucket(session: &Session, report: &mut Report) -> bool {
    let name = &session.target.bucket;
    match session.account().bucket(name).await {
        Ok(detail) => {
            let place = detail.region.map(|region| format!(" in {region}")).unwrap_or_default();
            report.ok("bucket", format!("{name} is there{place}"));
            true
        }
        Err(AccountError::Missing(_)) => {
            let fix = "correct `bucket`, or make it: terraform/ does";
            report.fail("bucket", Exit::BadInput, format!("there is no bucket {name}"), fix);
            false
        }
        Err(AccountError::Elsewhere(region)) => {
            let used = session.region().unwrap_or("no region");
            let (what, fix) =
                (format!("{name} is in {region}, and {used} is asked"), format!("set region to {region}"));
            report.fail("bucket", Exit::BadInput, what, fix);
            false
        }
        Err(error @ AccountError::Refused { .. }) => {
            let fix = "allow s3:ListBucket on it; or it is another account's, and the name is wrong";
            report.fail("bucket", Exit::Aws, format!("S3 refuses to show {name}: {error}"), fix);
            false
        }
        Err(error) => {
            let fix = "see that the address, the network and the credentials are right";
            report.fail("bucket", Exit::Aws, format!("S3 gives no answer about {name}: {error}"), fix);
            false
        }
    }
}

/// Writes, reads, lists and removes an object as executions do.
async fn objects(session: &Session, report: &mut Report) -> bool {
    let store = session.ports.store.as_ref();
    let key = format!("{}doctor", session.root(&launch::new_id(now_ms())).everything());
    match steps(store, &key).await {
        Ok(()) => report.ok(
            "objects",
            format!(
                "s3://{}/{key} was written, not written twice, read, listed, removed and not found",
                store.bucket()
            ),
        ),
        Err(trouble) => {
            let _ = store.delete_many(std::slice::from_ref(&key)).await;
            report.fail("objects", Exit::Aws, trouble.what, trouble.fix);
            return false;
        }
    }
    match store.now().await {
        Ok(theirs) if theirs.abs_diff(now_ms()) > SKEW_MS => {
            let minutes = theirs.abs_diff(now_ms()) / 60_000;
            let fix = "set this machine's clock: AWS refuses signatures that are a quarter of an hour off";
            report.warn("clock", format!("this machine's and S3's differ by {minutes} min"), fix);
        }
        Ok(_) => report.ok("clock", "this machine's and S3's agree"),
        Err(error) => {
            let fix = "allow s3:ListBucket on the bucket also for requests that name no prefix: executions read S3's clock so";
            report.fail("clock", Exit::Aws, error.to_string(), fix);
            return false;
        }
    }
    true
}

struct Trouble {
    what: String,
    fix: String,
}

/// What the policy of who submits must allow for this step.
fn lacking(action: &str) -> impl Fn(StoreError) -> Trouble {
    move |error| {
        let fix = match &error {
            StoreError::Refused { .. } => format!("allow {action} on the bucket's keys under the prefix"),
            _ => "see that the address, the network and the bucket's policy are right".to_owned(),
        };
        Trouble { what: error.to_string(), fix }
    }
}

async fn steps(store: &dyn Store, key: &str) -> Result<(), Trouble> {
    let body = Bytes::from_static(b"batchmap doctor");
    store.put_new(key, body.clone()).await.map_err(lacking("s3:PutObject"))?;
    match store.put_new(key, body.clone()).await {
        Err(StoreError::AlreadyExists { .. }) => {}
        Ok(()) => {
            return Err(Trouble {
                what: "a write that must find the key taken (If-None-Match: *) replaced the object".to_owned(),
                fix: "use S3, or a store that has conditional writes: two drivers of one execution are told apart by them"
                    .to_owned(),
            });
        }
        Err(error) => return Err(lacking("s3:PutObject")(error)),
    }
    let read = store.get(key).await.map_err(lacking("s3:GetObject"))?;
    if read != body {
        let fix = "see what lies between here and the bucket: it changes what is read".to_owned();
        return Err(Trouble { what: format!("s3://{}/{key} is not what was written", store.bucket()), fix });
    }
    let listed = store.list(key, None).await.map_err(lacking("s3:ListBucket"))?;
    if listed.objects.is_empty() {
        let fix = "use a store whose lists are consistent, as S3's are".to_owned();
        return Err(Trouble { what: "an object that was written is not in the list".to_owned(), fix });
    }
    store.delete_many(&[key.to_owned()]).await.map_err(lacking("s3:DeleteObject"))?;
    match store.get(key).await {
        Err(StoreError::NotFound { .. }) => Ok(()),
        Err(StoreError::Refused { code, message, .. }) => Err(Trouble {
            what: format!("S3 refuses to say that an object is not there: {code}: {message}"),
            fix: "allow s3:ListBucket on the bucket without a condition that asks for s3:prefix: without it S3 says 403 for 404"
                .to_owned(),
        }),
        Err(error) => Err(lacking("s3:GetObject")(error)),
        Ok(_) => Err(Trouble {
            what: "an object that was removed is still read".to_owned(),
            fix: "use a store that is consistent, as S3 is".to_owned(),
        }),
    }
}

/// Where children's output goes.
pub(super) async fn log_group(session: &Session, report: &mut Report) {
    let name = session.log_group().unwrap_or(DEFAULT_GROUP);
    match session.account().log_group(name).await {
        Ok(Some(group)) => match group.retention_days {
            Some(days) => report.ok("log group", format!("{name} is there and keeps {days} days")),
            None => report.warn(
                "log group",
                format!("{name} is there and keeps everything for ever, which is paid for"),
                "set its retention",
            ),
        },
        Ok(None) if session.log_group().is_none() => {
            report.ok("log group", format!("{name} is not there yet: the first job makes it"));
        }
        Ok(None) => {
            let fix = "make it, or correct `log_group`: children whose output has no place do not start";
            report.fail("log group", Exit::BadInput, format!("there is no log group {name}"), fix);
        }
        Err(error) => {
            report.unseen("log group", format!("{name}: {error}"));
        }
    }
}
