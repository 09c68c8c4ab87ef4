//! Reads `SimulatedInstance` manifests, which only `local` and `simulate` use; no cluster stores them.

use crate::manifests::Document;
use dataverse_simulator::{InstanceSpec, SimulatedInstance};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The `apiVersion` of the manifest.
pub const API_VERSION: &str = "local.postlink.dev/v1alpha1";
/// The `kind` of the manifest.
pub const KIND: &str = "SimulatedInstance";

/// An unknown field is an error: no API server prunes this kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: InstanceSpec,
}

/// The metadata that tools like kustomize add to every manifest. All but the name is ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    name: String,
    #[serde(rename = "namespace")]
    _namespace: Option<String>,
    #[serde(rename = "labels", default)]
    _labels: BTreeMap<String, String>,
    #[serde(rename = "annotations", default)]
    _annotations: BTreeMap<String, String>,
}

/// Each error is a field and what is wrong with it.
pub fn read(document: &Document) -> Result<SimulatedInstance, Vec<(String, String)>> {
    let manifest: Manifest =
        serde_path_to_error::deserialize(&document.value).map_err(|error| vec![field_error(&error)])?;
    let mut errors = Vec::new();
    if manifest.metadata.name.is_empty() {
        errors.push(("metadata.name".to_owned(), "must not be empty".to_owned()));
    }
    if let Err(invalid) = manifest.spec.validate() {
        errors.extend(invalid.into_iter().map(|error| (format!("spec.{}", error.field), error.message)));
    }
    if errors.is_empty() {
        Ok(SimulatedInstance { name: manifest.metadata.name, spec: manifest.spec })
    } else {
        Err(errors)
    }
}

/// The field that cannot be deserialized, and why.
fn field_error(error: &serde_path_to_error::Error<serde_json::Error>) -> (String, String) {
    let (mut field, why) = (error.path().to_string(), error.inner().to_string());
    // The path of an unknown field ends with its parent.
    let unknown = why.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    if let Some(unknown) = unknown.filter(|name| !field.ends_with(*name)) {
        field = if field == "." { unknown.to_owned() } else { format!("{field}.{unknown}") };
    }
    if field.ends_with("clientSecret") && why.starts_with("invalid type") {
        // The error would quote the value, which is a secret.
        return (field, "must be a string; put it in quotes".to_owned());
    }
    (field, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn manifest(text: &str) -> Document {
        crate::manifests::parse(Path::new("instance.yaml"), text).documents.swap_remove(0)
    }

    const SPEC: &str = "spec:
  host: contoso.crm.dynamics.com
  organization: {id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: Contoso Ltd, uniqueName: contoso}
";

    #[test]
    fn metadata_of_other_tools_is_ignored() {
        let metadata = "metadata: {name: contoso, namespace: a, labels: {b: c}, annotations: {d: e}}\n";
        let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{metadata}{SPEC}");
        let instance = read(&manifest(&text)).unwrap();
        assert_eq!(
            (instance.name.as_str(), instance.spec.host.as_str()),
            ("contoso", "contoso.crm.dynamics.com")
        );
    }

    #[test]
    fn each_error_names_its_field() {
        for (head, field) in [
            ("metadata: {name: contoso}\ntypo: 1\n", "typo"),
            ("metadata: {name: contoso, typo: 1}\n", "metadata.typo"),
            ("metadata: {name: ''}\n", "metadata.name"),
        ] {
            let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{head}{SPEC}");
            let errors = read(&manifest(&text)).unwrap_err();
            assert_eq!(errors.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), [field]);
        }
        let text = format!(
            "apiVersion: {API_VERSION}\nkind: {KIND}\nmetadata: {{name: contoso}}\n{SPEC}  convertsTo: a\n"
        );
        assert_eq!(read(&manifest(&text)).unwrap_err()[0].0, "spec.convertsTo");
    }
}
