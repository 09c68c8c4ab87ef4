//! What `postlink local` makes up: instances for hosts that no `SimulatedInstance` has, and Secrets with `--stub-secrets`;
//! and how it says why objects are not Ready.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use crate::program::postlink;
use rstest::rstest;
use std::{fmt::Write as _, fs};

fn connection(name: &str, host: &str, secret: &str) -> String {
    format!(
        "---\napiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {{name: {name}, namespace: social}}\n\
         spec:\n  instanceUrl: https://{host}\n  recordTypes: [incident, new_complaint, account]\n  \
         credentials: {{secretRef: {{name: {secret}}}}}\n"
    )
}

fn link(name: &str, link: &str) -> String {
    format!(
        "---\napiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {{name: {name}, namespace: social}}\n\
         spec: {{post: {{url: 'https://social.example/{name}', id: {name}}}, link: {{{link}}}}}\n"
    )
}

fn secret(name: &str, values: &str) -> String {
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: social}}\n{values}\n")
}

/// Exit code and standard error.
fn local(text: &str, flags: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("all.yaml"), text).unwrap();
    let output = postlink().current_dir(dir.path()).args(["local", "all.yaml"]).args(flags).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Whatever a Secret holds, the instance accepts it; what the controller checks itself is still checked.
#[rstest]
#[case::placeholders("stringData: {tenantId: TENANT, clientId: CLIENT, clientSecret: SECRET}", 0, "")]
#[case::encoded("data: {tenantId: VA==, clientId: Qw==, clientSecret: Uw==}", 0, "")]
#[case::certificate("stringData: {tenantId: T, clientId: C, tls.crt: CERT, tls.key: KEY}", 0, "")]
#[case::missing_key("stringData: {tenantId: T, clientSecret: S}", 1, "has no key clientId; add it")]
#[case::no_base64(
    "data: {tenantId: '?', clientId: Qw==, clientSecret: Uw==}",
    1,
    "data.tenantId: must be base64"
)]
#[case::other_address(
    "stringData: {tenantId: T, clientId: C, clientSecret: S, instanceUrl: 'https://b.crm.dynamics.com'}",
    1,
    "names another instance"
)]
fn simulated_default_accepts_any_credentials(
    #[case] values: &str,
    #[case] code: i32,
    #[case] expected: &str,
) {
    let text = connection("a", "a.crm.dynamics.com", "a") + &secret("a", values);
    let (exit, stderr) = local(&text, &[]);
    assert_eq!(exit, Some(code), "{stderr}");
    assert!(stderr.contains(expected), "{stderr}");
}

/// Custom tables, standard tables and records that the files name exist.
#[test]
fn simulated_default_has_what_the_files_name() {
    let text = connection("a", "a.crm.dynamics.com", "s")
        + &connection("b", "A.crm.dynamics.com", "s")
        + &link("one", "connectionRef: {name: a}, recordType: account")
        + &link("two", "connectionRef: {name: b}, recordId: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11")
        + &link("three", "connectionRef: {name: b}, recordType: new_complaint");
    let (code, stderr) = local(&text, &["--stub-secrets"]);
    let expected = "note: a.crm.dynamics.com has no SimulatedInstance, so a healthy instance is simulated, with the custom tables that \
                    its connections name: new_complaint\n\
                    note: Secret s in social is a stub with invented values. It is not in the input.\n";
    assert_eq!((code, stderr.as_str()), (Some(0), expected));
}

#[test]
fn no_simulated_defaults_leaves_hosts_unreachable() {
    let text = connection("a", "a.crm.dynamics.com", "s");
    let (code, stderr) = local(&text, &["--stub-secrets", "--no-simulated-defaults"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no SimulatedInstance has the host a.crm.dynamics.com, so it cannot be reached"));
    assert!(!stderr.contains("is simulated"), "{stderr}");
}

/// A stub fits the instance that the files hold.
#[test]
fn stub_has_the_secret_of_the_given_instance() {
    let instance = "apiVersion: local.postlink.dev/v1alpha1\nkind: SimulatedInstance\nmetadata: {name: a}\nspec:\n  host: a.crm.dynamics.com\n  \
                    clientSecret: canary-5e2\n  organization: {id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: A, uniqueName: a}\n  \
                    tables: [{logicalName: new_complaint, entitySetName: new_complaints, primaryIdAttribute: new_complaintid}]\n";
    let text = instance.to_owned() + &connection("a", "a.crm.dynamics.com", "s").replace(", account", "");
    let (code, stderr) = local(&text, &["--stub-secrets"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("canary"), "{stderr}");
}

#[test]
fn each_cause_is_said_once() {
    let mut text = connection("a", "a.crm.dynamics.com", "s") + &connection("b", "b.crm.dynamics.com", "s");
    for number in 0..40 {
        let _ = write!(text, "{}", link(&format!("p{number}"), "connectionRef: {name: a}"));
    }
    text += &link("q0", "connectionRef: {name: nowhere}");
    text += &link("q1", "connectionRef: {name: nowhere}");
    text += "---\napiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {name: r, namespace: social}\n\
             spec: {connectionRef: {name: nowhere}}\n";
    text += &link("x0", "connectionRef: {name: a}, recordType: led");
    let (code, stderr) = local(&text, &[]);
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("not ready: ")).collect();
    let [secret, nowhere] = lines[..] else { panic!("two causes, not {lines:#?}") };
    assert!(
        secret
            .starts_with("not ready: all.yaml:8:29: dynamicsconnection/a in social: Secret s does not exist"),
        "{secret}"
    );
    assert!(secret.ends_with(" 1 connection and 41 links wait for it."), "{secret}");
    assert!(nowhere.contains("automationrule/r in social: Connection nowhere does not exist"), "{nowhere}");
    assert!(nowhere.ends_with(" postlink/q0 and postlink/q1 wait for it."), "{nowhere}");
}

/// What waits for a connection that was refused is one cause, whether it names the connection or relies on the default.
#[test]
fn refused_connection_is_one_cause() {
    let refused = connection("a", "a.crm.dynamics.com", "s").replace("spec:\n", "spec:\n  default: 'yes'\n");
    let text = refused + &link("p", "") + &link("q", "connectionRef: {name: a}");
    let (code, stderr) = local(&text, &["--stub-secrets"]);
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("not ready: ")).collect();
    let [line] = lines[..] else { panic!("one cause, not {lines:#?}") };
    assert!(
        line.ends_with(" It is in all.yaml:2:1, but has been refused. postlink/q waits for it."),
        "{line}"
    );
}

/// kustomize adds a hash to the name of a generated Secret, and does not know the field that refers to it.
#[test]
fn generated_secret_with_a_hash_is_recognized() {
    let values = "stringData: {tenantId: T, clientId: C, clientSecret: S}";
    let text = connection("a", "a.crm.dynamics.com", "api") + &secret("api-7f9dg4k2mh", values);
    let (code, stderr) = local(&text, &[]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("Secret api-7f9dg4k2mh has a hash in its name, and kustomize does not change"),
        "{stderr}"
    );
}

/// A healthy instance of the input that has no custom tables.
fn instance(host: &str) -> String {
    format!(
        "---\napiVersion: local.postlink.dev/v1alpha1\nkind: SimulatedInstance\nmetadata: {{name: a}}\nspec:\n  host: {host}\n  \
         organization: {{id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: A, uniqueName: a}}\n"
    )
}

/// The connection is Ready without the table.
#[rstest]
#[case::table(&[])]
#[case::json(&["-o", "json"])]
fn table_that_the_given_instance_lacks_is_an_error(#[case] flags: &[&str]) {
    let text =
        connection("a", "a.crm.dynamics.com", "s").replace(", account", "") + &instance("a.crm.dynamics.com");
    let (code, stderr) = local(&text, &[&["--stub-secrets"], flags].concat());
    assert_eq!(code, Some(1), "{stderr}");
    let expected = "error: all.yaml:7:27: dynamicsconnection/a in social: ";
    let line = stderr.lines().find(|line| line.starts_with(expected)).unwrap_or_else(|| panic!("{stderr}"));
    assert!(line.contains("new_complaint"), "{line}");
    assert_eq!(stderr.matches("error: ").count(), 1, "{stderr}");
}

#[test]
fn table_that_no_instance_has_is_said_once() {
    let text = connection("a", "a.crm.dynamics.com", "s").replace("account", "acount");
    let (code, stderr) = local(&text, &["--stub-secrets"]);
    assert_eq!((code, stderr.matches("acount").count()), (Some(1), 1), "{stderr}");
}

/// `--stub-secrets` would hide that the Secret is in the wrong namespace.
#[rstest]
#[case::secret("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: other}\nstringData: {a: b}\n")]
#[case::sealed(
    "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: s, namespace: other}\nspec: {encryptedData: {a: b}}\n"
)]
#[case::external(
    "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: t, namespace: other}\nspec: {target: {name: s}}\n"
)]
fn secret_in_another_namespace_is_no_stub(#[case] secret: &str, #[values(true, false)] stub: bool) {
    let text = connection("a", "a.crm.dynamics.com", "s") + "---\n" + secret;
    let (code, stderr) = local(&text, if stub { &["--stub-secrets"] } else { &[] });
    assert_eq!(code, Some(1), "{stderr}");
    let expected = "A Secret of this name is in namespace other (all.yaml:12:";
    assert!(stderr.contains(expected) && !stderr.contains("is a stub"), "{stderr}");
}

/// A Secret that a connection of its own namespace uses is not one in the wrong namespace.
#[test]
fn each_namespace_has_its_secret() {
    let other = (connection("a", "a.crm.dynamics.com", "s")
        + &secret("s", "stringData: {tenantId: T, clientId: C, clientSecret: S}"))
        .replace("social", "other");
    let (code, stderr) = local(&(connection("a", "a.crm.dynamics.com", "s") + &other), &["--stub-secrets"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("note: Secret s in social is a stub"), "{stderr}");
}

#[rstest]
#[case::no_base64("data: {clientId: '?'}")]
#[case::number("stringData: {clientId: 5}")]
#[case::field("stringdata: {clientId: a}")]
fn refused_secret_is_named(#[case] values: &str) {
    let text = connection("a", "a.crm.dynamics.com", "s") + &secret("s", values);
    let (code, stderr) = local(&text, &["--stub-secrets"]);
    assert_eq!(code, Some(1), "{stderr}");
    let not_ready = stderr.lines().find(|line| line.starts_with("not ready: ")).unwrap();
    assert!(not_ready.ends_with(" It is in all.yaml:10:1, but has been refused."), "{not_ready}");
}

/// The controller may not contact it, so no instance is missing.
#[test]
fn host_that_is_not_allowed_has_one_cause() {
    let (code, stderr) = local(&connection("a", "example.com", "s"), &["--stub-secrets"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("--allow-host") && !stderr.contains("SimulatedInstance"), "{stderr}");
}

#[test]
fn password_in_an_address_is_not_printed() {
    let (code, stderr) =
        local(&connection("a", "me:canary-5e2@a.crm.dynamics.com", "s"), &["--stub-secrets"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("https://***@a.crm.dynamics.com") && !stderr.contains("canary"), "{stderr}");
}

/// The ServiceAccount of a workload identity often comes from elsewhere, too.
#[rstest]
#[case::not_in_the_input("", 0, "note: ServiceAccount dynamics in social is a stub. It is not in the input.")]
#[case::in_another_namespace(
    "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: dynamics, namespace: other}\n",
    1,
    "ServiceAccount dynamics does not exist in this namespace"
)]
fn service_account_is_made_up(#[case] more: &str, #[case] code: i32, #[case] expected: &str) {
    let identity = "{workloadIdentity: {serviceAccountName: dynamics, tenantId: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, \
                    clientId: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c12}}";
    let connection = connection("a", "a.crm.dynamics.com", "s").replace("{secretRef: {name: s}}", identity);
    let (exit, stderr) = local(&(connection.clone() + more), &["--stub-secrets"]);
    assert_eq!(exit, Some(code), "{stderr}");
    assert!(stderr.contains(expected), "{stderr}");
    let (exit, stderr) = local(&(connection + more), &[]);
    assert_eq!(exit, Some(1), "{stderr}");
}
