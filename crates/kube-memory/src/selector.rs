//! Parsing and matching of `labelSelector` and `fieldSelector` together.

use crate::label_selector::{self, LabelRequirement};
use crate::resource::Resource;
use crate::status::{ApiResult, StatusError};
use crate::store::StoredObject;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Name,
    Namespace,
    Selectable(usize),
}

/// The label and field selectors of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    labels: Vec<LabelRequirement>,
    fields: Vec<(Place, bool, String)>,
}

impl Selection {
    /// Parses both selectors.
    ///
    /// # Errors
    /// 400 when a selector cannot be parsed or names a field that is not selectable.
    pub fn parse(resource: &Resource, labels: &str, fields: &str) -> ApiResult<Self> {
        let labels = label_selector::parse(labels).map_err(StatusError::bad_request)?;
        let fields = parse_fields(fields)
            .map_err(StatusError::bad_request)?
            .into_iter()
            .map(|(label, equal, value)| {
                let place = match label.as_str() {
                    "metadata.name" => Place::Name,
                    "metadata.namespace" if resource.namespaced || !resource.custom => Place::Namespace,
                    other => match resource.selectable_index(other) {
                        Some(index) => Place::Selectable(index),
                        None => return Err(StatusError::bad_request(unknown_field(resource, other))),
                    },
                };
                Ok((place, equal, value))
            })
            .collect::<ApiResult<_>>()?;
        Ok(Self { labels, fields })
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The only name that can match, if a requirement fixes it.
    pub fn single_name(&self) -> Option<&str> {
        self.fixed(&Place::Name)
    }

    /// The only namespace that can match, if a requirement fixes it.
    pub fn single_namespace(&self) -> Option<&str> {
        self.fixed(&Place::Namespace)
    }

    fn fixed(&self, place: &Place) -> Option<&str> {
        self.fields.iter().find(|(p, equal, _)| p == place && *equal).map(|(_, _, value)| value.as_str())
    }

    pub fn matches(&self, key: &str, stored: &StoredObject) -> bool {
        self.labels.iter().all(|term| term.matches(stored)) && {
            let (namespace, name) = key.split_once('/').unwrap_or(("", key));
            self.fields.iter().all(|(place, equal, value)| {
                let actual = match place {
                    Place::Name => name,
                    Place::Namespace => namespace,
                    Place::Selectable(index) => stored.field(*index),
                };
                (actual == value) == *equal
            })
        }
    }
}

fn unknown_field(resource: &Resource, label: &str) -> String {
    if resource.custom || !resource.selectable.is_empty() {
        format!("field label not supported: {label}")
    } else {
        format!("\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    }
}

fn parse_fields(text: &str) -> Result<Vec<(String, bool, String)>, String> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
                if let Some((label, value)) = part.split_once(operator) {
                    return Ok((label.trim().to_owned(), equal, value.to_owned()));
                }
            }
            Err(format!("invalid selector: '{text}'; can't understand '{part}'"))
        })
        .collect()
}
