//! The manifest of a crate of this workspace, for a place outside of it: what it inherits is written out.

use toml::{Table, Value};

/// `manifest` without a workspace around it: package fields and dependencies are those of `workspace`, lints are left out.
pub(super) fn standalone(manifest: &str, workspace: &str) -> Result<String, String> {
    let mut manifest: Table = manifest.parse().map_err(|error| format!("{error}"))?;
    let workspace: Table = workspace.parse().map_err(|error| format!("{error}"))?;
    for (section, of_workspace) in [("package", "package"), ("dependencies", "dependencies")] {
        let Some(Value::Table(fields)) = manifest.get_mut(section) else { continue };
        for (name, value) in fields.iter_mut().filter(|(_, value)| is_inherited(value)) {
            let inherited = workspace.get("workspace").and_then(|all| all.get(of_workspace)?.get(name));
            *value = inherited.ok_or_else(|| format!("the workspace has no {of_workspace}.{name}"))?.clone();
        }
    }
    manifest.remove("lints");
    toml::to_string(&manifest).map_err(|error| error.to_string())
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::{Table, standalone};

    #[test]
    fn what_is_inherited_is_written_out() {
        let workspace = "[workspace.package]\nedition = \"2024\"\n[workspace.dependencies]\na = { version = \"1\", features = [\"b\"] }";
        let manifest = "[package]\nname = \"x\"\nedition.workspace = true\n[dependencies]\na.workspace = true\n[lints]\nworkspace = true";
        let text = standalone(manifest, workspace).unwrap_or_else(|error| panic!("{error}"));
        let expected =
            "[package]\nname = \"x\"\nedition = \"2024\"\n[dependencies.a]\nversion = \"1\"\nfeatures = [\"b\"]\n";
        assert_eq!(text.parse::<Table>(), expected.parse::<Table>());
        assert!(
            standalone("[dependencies]\nb.workspace = true", workspace)
                .is_err_and(|error| error.contains("dependencies.b"))
        );
    }
}
