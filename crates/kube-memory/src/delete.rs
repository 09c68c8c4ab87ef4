//! Delete: preconditions, finalizers, collections.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission::Operation;
use crate::field_error::FieldError;
use crate::metadata;
use crate::selector::Selection;
use crate::status::{ApiResult, StatusError, status_details};
use crate::store::{StoredObject, to_bytes};
use crate::transaction::{Transaction, WriteResponse};

/// The parts of `DeleteOptions` that have an effect. Grace periods have none for these kinds; `propagationPolicy` is
/// checked, but always means Background, because dependents are not garbage-collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Parses and checks the options.
    ///
    /// # Errors
    /// 422 for options that contradict each other or are not supported.
    pub fn read(options: &Value) -> ApiResult<Self> {
        let mut errors = Vec::new();
        let policy = &options["propagationPolicy"];
        if !policy.is_null() && !options["orphanDependents"].is_null() {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(FieldError::invalid("propagationPolicy", policy.clone(), detail));
        }
        let policies = ["Foreground", "Background", "Orphan"];
        if !policy.is_null() && !policies.contains(&policy.as_str().unwrap_or_default()) {
            let supported = [&policies[..], &["nil"]].concat();
            errors.push(FieldError::not_supported("propagationPolicy", policy.clone(), &supported));
        }
        let dry_run = options["dryRun"].as_array().cloned().unwrap_or_default();
        if dry_run.iter().any(|v| v != "All") {
            errors.push(FieldError::not_supported("dryRun", json!(dry_run), &["All"]));
        }
        if !errors.is_empty() {
            return Err(StatusError::invalid_options("DeleteOptions", &errors));
        }
        let precondition = |field: &str| options["preconditions"][field].as_str().map(str::to_owned);
        Ok(Self {
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            dry_run: !dry_run.is_empty(),
        })
    }
}

impl Transaction<'_> {
    /// DELETE of one object.
    pub fn delete(&mut self, name: &str, options: &DeleteOptions) -> ApiResult<WriteResponse> {
        let resource = self.request.resource;
        let key = resource.key(self.request.namespace, name);
        let is_namespace = resource.kind == "Namespace" && !resource.custom;
        if is_namespace && ["default", "kube-system", "kube-public"].contains(&name) {
            return Err(StatusError::forbidden(resource, name, "this namespace may not be deleted"));
        }
        let Some(stored) = self.state.store.get(resource.store, &key).cloned() else {
            return Err(StatusError::not_found(resource, name));
        };
        let old = stored.value();
        if is_namespace {
            if let Some(done) = self.begin_namespace_deletion(name, &old, options)? {
                return Ok(done);
            }
        } else {
            self.check_preconditions(name, &old, options)?;
        }
        self.admit(Operation::Delete, name, None, Some(&old))?;
        if metadata::finalizers(&old).is_empty() {
            let deleted = if options.dry_run { None } else { self.remove(&key) };
            if resource.returns_deleted {
                // With the revision of the deletion, as in a watch event.
                return Ok(WriteResponse { code: 200, body: deleted.unwrap_or(stored).raw.clone() });
            }
            let mut details = status_details(resource, name);
            details["uid"] = json!(metadata::text(&old, "uid"));
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            return Ok(WriteResponse { code: 200, body: to_bytes(&status) });
        }
        let mut new = old.clone();
        if metadata::text(&old, "deletionTimestamp").is_empty() {
            metadata::set(&mut new, "deletionTimestamp", Some(json!(self.now)));
            if let Some(generation) = old["metadata"]["generation"].as_i64().filter(|g| *g > 0) {
                metadata::set(&mut new, "generation", Some(json!(generation + 1)));
            }
        }
        metadata::set(&mut new, "deletionGracePeriodSeconds", Some(json!(0)));
        if new == old {
            return Ok(WriteResponse { code: 200, body: stored.raw.clone() });
        }
        if options.dry_run {
            return Ok(WriteResponse { code: 200, body: to_bytes(&new) });
        }
        let stored = self.commit(&key, new);
        Ok(WriteResponse { code: 200, body: stored.raw.clone() })
    }

    fn check_preconditions(&self, name: &str, old: &Value, options: &DeleteOptions) -> ApiResult<()> {
        let resource = self.request.resource;
        let uid = metadata::text(old, "uid");
        if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
            let why = format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
            );
            return Err(StatusError::delete_conflict(resource, name, &why));
        }
        let version = metadata::text(old, "resourceVersion");
        if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != version) {
            let why = format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
            );
            return Err(StatusError::delete_conflict(resource, name, &why));
        }
        Ok(())
    }

    /// Marks a namespace as terminating. `None` when it is marked already and may be removed now.
    fn begin_namespace_deletion(
        &mut self,
        name: &str,
        old: &Value,
        options: &DeleteOptions,
    ) -> ApiResult<Option<WriteResponse>> {
        let resource = self.request.resource;
        for (what, wanted, is) in [
            ("UID", options.uid.as_deref(), metadata::text(old, "uid")),
            ("ResourceVersion", options.resource_version.as_deref(), metadata::text(old, "resourceVersion")),
        ] {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
                let why = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}"
                );
                return Err(StatusError::conflict(resource, name, &why));
            }
        }
        if !metadata::text(old, "deletionTimestamp").is_empty() {
            let has_finalizers = old["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
            return Ok(has_finalizers.then(|| WriteResponse { code: 200, body: to_bytes(old) }));
        }
        self.admit(Operation::Delete, name, None, Some(old))?;
        let mut new = old.clone();
        metadata::set(&mut new, "deletionTimestamp", Some(json!(self.now)));
        new["status"]["phase"] = json!("Terminating");
        if options.dry_run {
            return Ok(Some(WriteResponse { code: 200, body: to_bytes(&new) }));
        }
        let stored = self.commit(name, new);
        self.state.terminating.insert(name.to_owned());
        Ok(Some(WriteResponse { code: 200, body: stored.raw.clone() }))
    }

    /// DELETE of a collection: deletes the objects one by one and stops at the first error. Returns the objects as they
    /// were before.
    pub fn delete_collection(
        &mut self,
        selection: &Selection,
        options: &DeleteOptions,
    ) -> ApiResult<Vec<Arc<StoredObject>>> {
        let resource = self.request.resource;
        let prefix = if self.request.namespace.is_empty() {
            String::new()
        } else {
            format!("{}/", self.request.namespace)
        };
        let found: Vec<_> = self
            .state
            .store
            .range(resource.store, &prefix, "")
            .filter(|(key, stored)| selection.matches(key, stored))
            .map(|(key, stored)| (key.clone(), stored.clone()))
            .collect();
        for (key, _) in &found {
            let name = key.split_once('/').map_or(&**key, |(_, name)| name);
            match self.delete(name, options) {
                Err(error) if error.code != 404 => return Err(error),
                _ => {}
            }
        }
        Ok(found.into_iter().map(|(_, stored)| stored).collect())
    }
}
