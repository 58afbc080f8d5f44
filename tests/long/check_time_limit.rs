//! The time limit on the check of a policy folder: a check that would never end is ended.

use std::fs;

use crate::support::sidecar::{binary, copy_folder, shipped_policies};

#[test]
fn what_takes_for_ever_to_check_is_refused_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&shipped_policies(), folder.path());
    let many = (0..300).map(|n| format!("P{n}")).collect::<Vec<String>>().join(", ");
    let schema = folder.path().join("schema.cedarschema");
    let shipped = fs::read_to_string(&schema).unwrap();
    let questions =
        format!("entity {many}; action x appliesTo {{ principal: [{many}], resource: [{many}] }};");
    fs::write(schema, format!("{shipped}\n{questions}")).unwrap();
    let rule =
        |n| format!("@id(\"m{n}\") forbid(principal, action, resource) when {{ 1 == 2 }};\n");
    // So few that they are validated together with those of other files.
    let rules: String = (0..400).map(rule).collect();
    fs::write(folder.path().join("rules/many.cedar"), rules).unwrap();
    let check = ["policy", "check", folder.path().to_str().unwrap()];
    let output = std::process::Command::new(binary()).args(check).env_clear().output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    // On a machine that is too busy to give it that much processor time, the wait ends it first.
    if output.status.code() == Some(1) {
        assert!(message.contains("did not answer in "), "{message}");
        return;
    }
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.starts_with("rules/many.cedar: takes more than "), "{message}");
}
