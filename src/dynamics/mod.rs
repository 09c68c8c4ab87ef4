//! The instance's Web API: sign-in, organisation, activities, throttling, guard. Knows nothing of Kubernetes.
