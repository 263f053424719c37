//! Registered tasks, workflows and launch plans: immutable objects in the bucket, so that every server sees them all.

pub(super) mod filter;
pub(super) mod list;
pub(super) mod page;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

use super::status;
use crate::aws::store::{Store, StoreError};
use crate::idl::core::Identifier;
use crate::idl::record::Registered;
use crate::idl::record::registered::Spec;
use crate::map::layout::flyte::{FLYTE_VERSION, FlyteRoot, Kind, escape};

/// Entities remembered: clients ask for the same few again and again, and none ever changes.
const REMEMBERED: usize = 512;

/// Bytes of an entity that is remembered; larger ones are read each time.
const REMEMBERED_BYTES: usize = 256 << 10;

/// Characters of a name or a version.
const LONGEST_NAME: usize = 255;

/// Bytes of all that a client chose of a key, as the key has it: S3 takes 1024 in all.
const LONGEST_KEY: usize = 700;

/// The registered entities of one bucket.
pub struct Registry {
    store: Arc<dyn Store>,
    root: FlyteRoot,
    known: Mutex<BTreeMap<String, Arc<Registered>>>,
}

impl Registry {
    /// The entities under `root`.
    pub fn new(store: Arc<dyn Store>, root: FlyteRoot) -> Self {
        Registry { store, root, known: Mutex::default() }
    }

    /// The keys of what the service keeps.
    pub fn root(&self) -> &FlyteRoot {
        &self.root
    }

    /// The bucket.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Registers an entity. What is wrong with it is the caller's to find before.
    ///
    /// # Errors
    /// ALREADY_EXISTS when it is registered with the same content, which clients take for success; INVALID_ARGUMENT
    /// when it is registered with another.
    pub async fn put(&self, kind: Kind, mut entity: Registered) -> Result<(), Status> {
        let id = entity.id.clone().unwrap_or_default();
        entity.version = FLYTE_VERSION;
        entity.created_at = Some(SystemTime::now().into());
        let key = self.root.entity(kind, &id);
        let body = Bytes::from(entity.encode_to_vec());
        // What we keep is a level deeper than what was sent, and readers take a hundred.
        if let Err(error) = Registered::decode(body.clone()) {
            let (name, shown) = (kind.name(), shown(&id));
            return Err(status::invalid(format!("{name} {shown} nests too deep to be read back: {error}")));
        }
        match self.store.put_new(&key, body.clone()).await {
            Ok(()) => Ok(()),
            Err(StoreError::AlreadyExists { .. }) => {
                let there = self.get(kind, &id).await?;
                // The one found may be ours: the store tries again when a reply is lost. By their bytes, for a number that
                // is none is not equal to itself.
                if there.encode_to_vec() == body {
                    return Ok(());
                }
                Err(taken(kind, &id, there.spec.as_ref(), entity.spec.as_ref()))
            }
            Err(error) => Err(status::store(error)),
        }
    }

    /// An entity.
    ///
    /// # Errors
    /// NOT_FOUND when it is not registered.
    pub async fn get(&self, kind: Kind, id: &Identifier) -> Result<Arc<Registered>, Status> {
        let key = self.root.entity(kind, id);
        if let Some(known) = self.known().get(&key) {
            return Ok(known.clone());
        }
        match self.store.get(&key).await {
            Ok(body) => self.remember(key, &body),
            Err(StoreError::NotFound { .. }) => {
                Err(status::not_found(format!("{} {} is not registered", kind.name(), shown(id))))
            }
            Err(error) => Err(status::store(error)),
        }
    }

    /// The entity with this key of a listing.
    pub(super) async fn at(&self, key: String) -> Result<Arc<Registered>, Status> {
        if let Some(known) = self.known().get(&key) {
            return Ok(known.clone());
        }
        let body = self.store.get(&key).await.map_err(status::store)?;
        self.remember(key, &body)
    }

    fn remember(&self, key: String, body: &[u8]) -> Result<Arc<Registered>, Status> {
        let entity = Registered::decode(body).map_err(|error| status::damaged(&key, error))?;
        if entity.version != FLYTE_VERSION {
            let problem = format!("its format is {}, and this batchmap knows {FLYTE_VERSION}", entity.version);
            return Err(status::damaged(&key, problem));
        }
        let entity = Arc::new(entity);
        if body.len() > REMEMBERED_BYTES {
            return Ok(entity);
        }
        let mut known = self.known();
        if known.len() >= REMEMBERED {
            // Any will do: what is asked for again comes back.
            known.pop_first();
        }
        known.insert(key, entity.clone());
        Ok(entity)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Registered>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks what a client calls an entity, and says which kind it is.
///
/// # Errors
/// INVALID_ARGUMENT naming the part that is missing or too long.
pub fn identified(kind: Kind, id: Option<Identifier>) -> Result<Identifier, Status> {
    let mut id = id.ok_or_else(|| status::invalid("id is missing: give project, domain, name and version"))?;
    for (part, value) in
        [("project", &id.project), ("domain", &id.domain), ("name", &id.name), ("version", &id.version)]
    {
        if value.is_empty() {
            return Err(status::invalid(format!("id.{part} is empty: a {} has one", kind.name())));
        }
        if value.chars().count() > LONGEST_NAME {
            let found = value.chars().count();
            return Err(status::invalid(format!("id.{part} has {found} characters, at most {LONGEST_NAME} are taken")));
        }
    }
    fits_a_key("id", &[&id.project, &id.domain, &id.name, &id.version])?;
    let resource_type = kind.resource_type();
    if id.resource_type != 0 && id.resource_type != i32::from(resource_type) {
        let found = id.resource_type().as_str_name();
        return Err(status::invalid(format!("id.resource_type is {found}; a {} is due", kind.name())));
    }
    id.set_resource_type(resource_type);
    Ok(id)
}

/// Checks that what a client chose fits into a key together.
///
/// # Errors
/// INVALID_ARGUMENT naming `field`.
pub fn fits_a_key(field: &str, parts: &[&str]) -> Result<(), Status> {
    let bytes: usize = parts.iter().map(|part| escape(part).len()).sum();
    if bytes <= LONGEST_KEY {
        return Ok(());
    }
    let message = format!(
        "{field} is too long: its parts have {bytes} bytes together as keys in S3 have them (a letter outside of ASCII has \
         six and more), and {LONGEST_KEY} are taken"
    );
    Err(status::invalid(message))
}

/// An identifier for people.
pub fn shown(id: &Identifier) -> String {
    format!("{} of version {} ({}/{})", id.name, id.version, id.project, id.domain)
}

/// Why an entity is not registered a second time.
fn taken(kind: Kind, id: &Identifier, there: Option<&Spec>, given: Option<&Spec>) -> Status {
    let (name, shown) = (kind.name(), shown(id));
    let bytes = |spec: Option<&Spec>| Registered { spec: spec.cloned(), ..Default::default() }.encode_to_vec();
    if bytes(there) == bytes(given) {
        return status::status(Code::AlreadyExists, format!("{name} {shown} is registered already, with this content"));
    }
    let hint = match kind {
        Kind::Task if id.name.contains(".map_") => {
            "; flytekit names a map task after its function, bound inputs, concurrency and ratio, not after its metadata: \
             two map_task calls of one function that differ in metadata get the same name, so give one of them another \
             function (a wrapper) or another concurrency"
        }
        _ => "; give it another version, or another name",
    };
    status::invalid(format!(
        "{name} {shown} is registered already, with another content{}{hint}",
        differing(there, given)
    ))
}

/// Which part of a task is not the same.
fn differing(there: Option<&Spec>, given: Option<&Spec>) -> String {
    let (Some(Spec::Task(there)), Some(Spec::Task(given))) = (there, given) else { return String::new() };
    let (Some(there), Some(given)) = (&there.template, &given.template) else { return String::new() };
    let parts = [
        ("metadata", there.metadata != given.metadata),
        ("interface", there.interface != given.interface),
        ("container", there.target != given.target),
        ("custom", there.custom != given.custom),
        ("config", there.config != given.config),
    ];
    let parts: Vec<&str> = parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    if parts.is_empty() { String::new() } else { format!(" (its {})", parts.join(", ")) }
}
