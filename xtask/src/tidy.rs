//! What no compiler checks: small rules about the sources, each a function from text to faults.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// More lines than this are two files.
const LINES_MAX: usize = 500;
/// The crates that do no I/O and no async; each has a clippy.toml that repeats the workspace's bans.
const PURE: [&str; 4] = ["schemas", "processors", "oracle", "verify"];
/// What a pure crate cannot need.
const IMPURE: [&str; 9] =
    ["tokio", "axum", "hyper", "hyper-util", "reqwest", "fjall", "futures", "async-trait", "tempfile"];

/// What the machine happens to be, hold or answer is no fact of an order.
const IMPURE_NAMES: [&str; 8] =
    ["std::env", "std::fs", "std::process", "std::thread", "TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs"];

/// Checks the repository at `root`; each fault is a line that begins with its file.
pub(crate) fn check(root: &Path) -> io::Result<Vec<String>> {
    let mut faults = Vec::new();
    for path in files(root, "rs")? {
        let (name, text) = (name_of(root, &path), fs::read_to_string(&path)?);
        faults.extend(too_long(&name, &text));
        faults.extend(allows_without_reason(&name, &text));
    }
    for folder in crates(root)? {
        faults.extend(check_crate(root, &folder)?);
    }
    faults.extend(check_schemas(root)?);
    Ok(faults)
}

fn check_crate(root: &Path, folder: &str) -> io::Result<Vec<String>> {
    let mut faults = Vec::new();
    let library = root.join(folder).join("src/lib.rs");
    let entry = if library.is_file() { library } else { root.join(folder).join("src/main.rs") };
    faults.extend(no_invariant(&name_of(root, &entry), &fs::read_to_string(&entry)?));
    let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml"))?;
    faults.extend(no_workspace_lints(&format!("{folder}/Cargo.toml"), &manifest));
    if PURE.contains(&folder) {
        faults.extend(impure_dependencies(&format!("{folder}/Cargo.toml"), &manifest));
        for path in files(&root.join(folder).join("src"), "rs")? {
            faults.extend(impure_names(&name_of(root, &path), &fs::read_to_string(&path)?));
        }
        let name = format!("{folder}/clippy.toml");
        let own = fs::read_to_string(root.join(&name)).unwrap_or_default();
        faults.extend(missing_bans(&name, &own, &fs::read_to_string(root.join("clippy.toml"))?));
    }
    Ok(faults)
}

fn check_schemas(root: &Path) -> io::Result<Vec<String>> {
    let mut sources = String::new();
    for path in files(&root.join("schemas/src"), "rs")? {
        sources.push_str(&fs::read_to_string(path)?);
    }
    let schemas = files(&root.join("schemas"), "avsc")?;
    Ok(schemas.iter().filter_map(|path| unlisted_schema(&name_of(root, path), &sources)).collect())
}

fn too_long(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| format!("{name}: {lines} lines: split it, {LINES_MAX} are the most"))
}

fn no_invariant(name: &str, text: &str) -> Option<String> {
    let mut head = text.lines().take_while(|line| line.starts_with("//!") || line.trim().is_empty());
    let has_one = head.any(|line| line.contains("**Architecture Invariant:**"));
    (!has_one).then(|| format!("{name}: say in its head what holds for the crate: `//! **Architecture Invariant:** …`"))
}

fn no_workspace_lints(name: &str, manifest: &str) -> Option<String> {
    let has_them = section(manifest, "lints").any(|line| line == "workspace = true");
    (!has_them).then(|| format!("{name}: take the workspace's lints: `[lints]` and `workspace = true`"))
}

fn impure_dependencies(name: &str, manifest: &str) -> Vec<String> {
    let named = |line: &str| line.split(['.', '=', ' ']).next().unwrap_or_default().to_owned();
    let found = section(manifest, "dependencies").map(named).filter(|name| IMPURE.contains(&name.as_str()));
    found.map(|dependency| format!("{name}: a pure crate does no I/O and no async: drop {dependency}")).collect()
}

fn impure_names(name: &str, text: &str) -> Vec<String> {
    let code = (1_usize..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"));
    let mut faults = Vec::new();
    for (number, line) in code {
        let found = IMPURE_NAMES.iter().filter(|impure| line.contains(**impure));
        faults.extend(found.map(|impure| format!("{name}:{number}: a pure crate does no I/O: drop {impure}")));
    }
    faults
}

/// Bans of the workspace that a crate's own clippy.toml, which replaces it, does not repeat.
fn missing_bans(name: &str, own: &str, workspace: &str) -> Vec<String> {
    let own = bans(own);
    let missing = bans(workspace).into_iter().filter(|ban| !own.contains(ban));
    missing.map(|ban| format!("{name}: repeat the workspace's ban of {ban}")).collect()
}

fn bans(configuration: &str) -> Vec<&str> {
    let after = configuration.lines().filter_map(|line| line.trim().strip_prefix("{ path = \""));
    after.filter_map(|line| line.split('"').next()).collect()
}

/// Lint exceptions that do not say why.
fn allows_without_reason(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let start = line.trim_start();
        let is_exception =
            ["#[allow(", "#![allow(", "#[expect(", "#![expect("].iter().any(|open| start.starts_with(open));
        if !is_exception {
            continue;
        }
        let mut attribute = start.to_owned();
        while !attribute.contains(")]") {
            let Some((_, more)) = lines.next() else { break };
            attribute.push_str(more);
        }
        if !attribute.contains("reason = ") {
            faults.push(format!("{name}:{number}: say why: `reason = \"…\"`"));
        }
    }
    faults
}

fn unlisted_schema(name: &str, sources: &str) -> Option<String> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let quoted = format!("\"{}\"", file.trim_end_matches(".avsc"));
    (!sources.contains(&quoted)).then(|| format!("{name}: no Rust type is tested against it: include it or delete it"))
}

/// The workspace's crates, from its manifest: their folders, which have their names.
pub(crate) fn crates(root: &Path) -> io::Result<Vec<String>> {
    Ok(members(&fs::read_to_string(root.join("Cargo.toml"))?))
}

fn members(manifest: &str) -> Vec<String> {
    let Some((_, rest)) = manifest.split_once("\nmembers = [") else { return Vec::new() };
    let list = rest.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The lines of one section of a manifest.
fn section<'a>(manifest: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let header = format!("[{name}]");
    let after = manifest.lines().map(str::trim).skip_while(move |line| *line != header).skip(1);
    after.take_while(|line| !line.starts_with('['))
}

/// Files with an extension below a folder, in order, without build output and hidden folders.
fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let is_ours = name != "target" && !name.to_string_lossy().starts_with('.');
            if entry.file_type()?.is_dir() && is_ours {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn name_of(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files() {
        assert_eq!(too_long("a.rs", &"x\n".repeat(500)), None);
        assert!(too_long("a.rs", &"x\n".repeat(501)).is_some_and(|fault| fault.starts_with("a.rs: 501 lines")));
    }

    #[test]
    fn invariants_stand_in_the_head() {
        assert_eq!(no_invariant("lib.rs", "//! A.\n//!\n//! **Architecture Invariant:** no I/O.\nmod a;"), None);
        assert!(no_invariant("lib.rs", "//! A.\nmod a;\n// **Architecture Invariant:** too late").is_some());
    }

    #[test]
    fn manifests() {
        let manifest = "[package]\nname = \"a\"\n[lints]\nworkspace = true\n\n[dependencies]\nserde.workspace = true\ntokio = { version = \"1\" }\n[dev-dependencies]\nhyper.workspace = true\n";
        assert_eq!(no_workspace_lints("a", manifest), None);
        assert!(no_workspace_lints("a", "[package]\nworkspace = true\n").is_some());
        let faults = impure_dependencies("a", manifest);
        assert!(faults.len() == 1 && faults[0].ends_with("drop tokio"), "{faults:?}");
        assert_eq!(impure_names("a.rs", "// std::fs\nuse std::fmt;\nuse std::fs::File;\n").len(), 1);
        assert_eq!(members("[workspace]\nmembers = [\"a\", \"b\"]\n"), ["a", "b"]);
    }

    #[test]
    fn bans_are_repeated() {
        let workspace = "disallowed-methods = [\n  { path = \"a::b\", reason = \"x\" },\n  { path = \"c::d\" },\n]";
        assert_eq!(missing_bans("p", workspace, workspace), Vec::<String>::new());
        assert_eq!(missing_bans("p", "  { path = \"a::b\" },", workspace), ["p: repeat the workspace's ban of c::d"]);
    }

    #[test]
    fn exceptions_have_reasons() {
        let text = "#[allow(a, reason = \"b\")]\n#[allow(a)]\n#[expect(\n    a,\n    reason = \"b\"\n)]\n#![allow(\n    a\n)]\n";
        let faults = allows_without_reason("a.rs", text);
        assert_eq!(faults, ["a.rs:2: say why: `reason = \"…\"`", "a.rs:7: say why: `reason = \"…\"`"]);
    }

    #[test]
    fn schemas_are_used() {
        assert_eq!(unlisted_schema("schemas/avro/a.avsc", "record!(A, \"a\");"), None);
        assert!(unlisted_schema("schemas/avro/b.avsc", "record!(A, \"a\");").is_some());
    }
}
