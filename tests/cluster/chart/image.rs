//! The Dockerfile, checked as text so that no container engine is needed: stages, copied files, user, and that the
//! final image has every library the program links to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{container, copy, render};
use crate::cluster::{repository, text_of};
use crate::harness::run_folder::new_folder;

/// Instructions and their arguments, with continuation lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = text_of("Dockerfile");
    let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    lines
        .join("\n")
        .replace("\\\n", " ")
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no instruction: {line}"));
            (name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

/// The instructions of each stage, which begins with FROM.
fn stages() -> Vec<Vec<(String, String)>> {
    let mut stages: Vec<Vec<_>> = Vec::new();
    for instruction in instructions() {
        if instruction.0 == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("the file begins with FROM").push(instruction);
    }
    stages
}

fn all<'a>(stage: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    stage.iter().filter(|one| one.0 == name).map(|one| one.1.as_str()).collect()
}

/// The paths copied from the repository.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    for copy in all(&instructions(), "COPY").into_iter().filter(|copy| !copy.starts_with("--from=")) {
        let mut words: Vec<_> = copy.split(' ').collect();
        words.pop();
        found.extend(words.into_iter().map(str::to_owned));
    }
    found
}

#[test]
fn dockerfile_uses_known_instructions() {
    let known = ["FROM", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "ENTRYPOINT", "CMD", "ARG", "ENV"];
    for (name, arguments) in instructions() {
        assert!(known.contains(&name.as_str()), "{name} {arguments}");
        if ["ENTRYPOINT", "CMD"].contains(&name.as_str()) {
            let words: Vec<String> = serde_json::from_str(&arguments)
                .unwrap_or_else(|error| panic!("{name} is no JSON list, and there is no shell: {error}"));
            assert!(!words.is_empty());
        }
    }
}

#[test]
fn image_holds_only_the_program_as_nonroot() {
    let stages = stages();
    let last = stages.last().unwrap();
    assert_eq!(all(last, "FROM"), ["gcr.io/distroless/cc-debian12:nonroot"]);
    assert_eq!(all(last, "ENTRYPOINT"), [r#"["/postlink"]"#]);
    assert_eq!(all(last, "RUN"), [""; 0], "there is no shell in the image");
    assert_eq!(all(last, "COPY"), ["--from=build /image/ /"]);
    let user = render(&serde_json::json!({})).iter().find_map(|object| {
        object.pointer("/spec/template/spec/securityContext/runAsUser").map(ToString::to_string)
    });
    let user = user.expect("the Deployment names its user");
    assert_eq!(all(last, "USER"), [format!("{user}:{user}")], "image and chart name the same user");
    assert!(
        container(&render(&serde_json::json!({})))["command"].is_null(),
        "the image's entry point is used"
    );
}

/// A program linked on a newer Debian needs symbols that the image's older glibc lacks.
#[test]
fn build_image_matches_runtime_debian_and_manifest_rust() {
    let stages = stages();
    let builder = all(&stages[0], "FROM")[0];
    let toolchain = env!("CARGO_PKG_RUST_VERSION");
    assert_eq!(builder, format!("docker.io/library/rust:{toolchain}-bookworm AS build"));
    assert!(all(stages.last().unwrap(), "FROM")[0].contains("debian12"), "bookworm is Debian 12");
}

#[test]
fn copied_paths_exist_and_are_not_ignored() {
    let sources = sources();
    let mut let_in = BTreeSet::new();
    for line in text_of(".dockerignore").lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        match line.strip_prefix('!') {
            Some(path) => drop(let_in.insert(path.to_owned())),
            None => assert_eq!(line, "*", "everything else is ignored"),
        }
    }
    assert_eq!(sources.iter().cloned().collect::<BTreeSet<_>>(), let_in);
    for source in sources {
        assert!(repository(&source).exists(), "{source} is not in the repository");
    }
}

/// Files included at compile time are easily forgotten, because outside of a container they are present.
#[test]
fn copied_paths_suffice_for_the_build() {
    fn included(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                included(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for part in text.split("include_str!(\"").chain(text.split("include_bytes!(\"")).skip(1) {
                    let Some((file, _)) = part.split_once("\")") else { continue };
                    if !file.contains(char::is_whitespace) {
                        found.push(path.parent().unwrap().join(file));
                    }
                }
            }
        }
    }
    let context = new_folder("image").join("context");
    for source in sources() {
        let (from, to) = (repository(&source), context.join(&source));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&from, &to).unwrap();
        }
    }
    let mut found = Vec::new();
    for source in sources() {
        if context.join(&source).is_dir() {
            included(&context.join(&source), &mut found);
        }
    }
    // The image is built without the feature `local`.
    found.retain(|file| !file.starts_with(context.join("src/local")));
    assert!(!found.is_empty(), "a crate's documentation is its README");
    for file in found {
        assert!(file.exists(), "{} is not copied into the image", file.display());
    }
    // The lock file matches the manifest, and the manifest needs no missing file.
    // `cargo metadata` would need the crates of every platform, not only those fetched for this one.
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges=normal"])
        .current_dir(&context)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn dockerfile_runs_make_image_binary() {
    let stages = stages();
    let runs = all(&stages[0], "RUN");
    let targets: Vec<_> = runs.iter().filter_map(|run| run.strip_prefix("make ")).collect();
    assert_eq!(targets, ["image-binary"]);
    let makefile = text_of("Makefile");
    let (_, recipe) = makefile.split_once("\nimage-binary:").expect("the Makefile has the target");
    let command = recipe.lines().nth(1).unwrap().trim();
    assert_eq!(command, "$(CARGO) build --release --locked --no-default-features --bin postlink");
    assert!(runs[1].contains("cp target/release/postlink /image/"), "{runs:?}");
    assert!(runs[1].contains("ln -s postlink /image/kubectl-postlink"), "{runs:?}");
}

/// The libraries of distroless/cc: glibc and libgcc, no libssl, no libz.
#[test]
fn image_has_every_shared_library_needed() {
    let held = [
        "ld-linux-aarch64.so.1",
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libpthread.so.0",
        "libresolv.so.2",
        "librt.so.1",
        "linux-vdso.so.1",
    ];
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_postlink")).output().expect("ldd is there");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let needed: Vec<_> = listed
        .lines()
        .filter_map(|line| Path::new(line.split_whitespace().next()?).file_name()?.to_str())
        .collect();
    assert!(needed.contains(&"libc.so.6"), "{listed}");
    for library in needed {
        assert!(held.contains(&library), "{library} is not in the image:\n{listed}");
    }
}
