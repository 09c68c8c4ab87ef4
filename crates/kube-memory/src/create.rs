//! Create: POST, and a PUT or an apply of an object that does not exist.

use rand::Rng as _;
use serde_json::{Value, json};

use crate::admission::Operation;
use crate::built_in;
use crate::managed_fields;
use crate::metadata;
use crate::status::{ApiResult, StatusError};
use crate::store::to_bytes;
use crate::transaction::{Transaction, WriteResponse};

impl Transaction<'_> {
    /// Creates an object: POST.
    pub fn create(&mut self, mut object: Value) -> ApiResult<WriteResponse> {
        self.decode_body(&mut object)?;
        for field in
            ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]
        {
            metadata::set(&mut object, field, None);
        }
        metadata::ensure_namespace(self.request.resource, self.request.namespace, &mut object)?;
        if self.server.managed_fields {
            managed_fields::update(self.request.resource, None, &mut object, self.writer());
        }
        // Before a name is generated: the error names the prefix.
        self.check_namespace(&object)?;
        let prefix = metadata::text(&object, "generateName").to_owned();
        if !prefix.is_empty() && metadata::text(&object, "name").is_empty() {
            // A server gives up after eight tries.
            for attempt in 1..=8 {
                let mut named = object.clone();
                let suffix = self.random_suffix();
                let stem: String = prefix.chars().take(58).collect();
                metadata::set(&mut named, "name", Some(json!(format!("{stem}{suffix}"))));
                match self.insert(named) {
                    Err(error) if error.reason == "AlreadyExists" => {
                        if attempt == 8 {
                            return Err(StatusError::no_free_name(
                                self.request.resource,
                                &format!("{stem}{suffix}"),
                            ));
                        }
                    }
                    result => return result,
                }
            }
        }
        self.insert(object)
    }

    /// The steps after decoding, for POST and for a PUT or an apply that creates.
    pub fn insert(&mut self, mut object: Value) -> ApiResult<WriteResponse> {
        let resource = self.request.resource;
        let name = metadata::text(&object, "name").to_owned();
        let uid = self.state.next_uid(self.server.seed, self.request.dry_run);
        metadata::set(&mut object, "creationTimestamp", Some(json!(self.now)));
        metadata::set(&mut object, "uid", Some(json!(uid.to_string())));
        if resource.custom {
            if resource.has_status
                && let Some(map) = object.as_object_mut()
            {
                map.remove("status");
            }
            metadata::set(&mut object, "generation", Some(json!(1)));
        } else {
            built_in::prepare(resource, &mut object, None);
        }
        let mut errors = self.type_errors(&object);
        if errors.is_empty() {
            errors = metadata::validate(resource, built_in::name_rule(resource), &object);
            errors.extend(self.validate(&object, None));
        }
        self.check_valid(&name, &object, &errors)?;
        self.warnings.extend(metadata::finalizer_warnings(&object, None));
        self.admit(Operation::Create, &name, Some(&object), None)?;
        // A server drops a version that is not a number.
        if metadata::text(&object, "resourceVersion").parse().is_ok_and(|version: u64| version != 0) {
            return Err(StatusError::unknown("resourceVersion should not be set on objects to be created"));
        }
        let key = resource.key(self.request.namespace, &name);
        if let Some(existing) = self.state.store.get(resource.store, &key) {
            let terminating = !metadata::text(&existing.value(), "deletionTimestamp").is_empty();
            return Err(StatusError::already_exists(resource, &name, terminating));
        }
        metadata::set(&mut object, "resourceVersion", None);
        if self.request.dry_run {
            // The object as a GET would show it.
            if resource.custom {
                self.server.admission.default(resource, &mut object);
            }
            return Ok(WriteResponse { code: 201, body: to_bytes(&object) });
        }
        let stored = self.commit(&key, object);
        Ok(WriteResponse { code: 201, body: stored.raw.clone() })
    }

    pub fn random_suffix(&mut self) -> String {
        // No vowels and no look-alikes: `k8s.io/apimachinery/pkg/util/rand`.
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5).map(|_| char::from(ALPHABET[self.state.random.random_range(0..ALPHABET.len())])).collect()
    }
}
