//! The policy folder that the binary carries: the files of `policies/` in this repository, as they
//! were when it was built.

use crate::domain::PolicyFiles;

/// A path below `policies/`, and what the file holds.
macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/", $path)))),+]
    };
}

const FILES: [(&str, &str); 23] = files![
    "guards/active_members_only.cedar",
    "guards/administrators_do_everything.cedar",
    "guards/administrators_manage.cedar",
    "guards/own_account_only.cedar",
    "roles/administrator.cedar",
    "roles/automation_manager.cedar",
    "roles/broadcast_manager.cedar",
    "roles/chat_manager.cedar",
    "roles/contact_manager.cedar",
    "roles/operator.cedar",
    "roles/template_manager.cedar",
    "rules/suspension.cedar",
    "rules/tenancy.cedar",
    "schema.cedarschema",
    "tests/administrator.json",
    "tests/automation_manager.json",
    "tests/broadcast_manager.json",
    "tests/chat_manager.json",
    "tests/contact_manager.json",
    "tests/edges.json",
    "tests/operator.json",
    "tests/people_and_things.json",
    "tests/template_manager.json",
];

/// The shipped folder.
#[must_use]
pub fn embedded_policies() -> PolicyFiles {
    let file = |(path, text): (&str, &str)| (path.to_owned(), text.as_bytes().to_vec());
    PolicyFiles::new(FILES.map(file).into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_table() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let read = crate::policy_folder::read(&folder).unwrap();
        assert_eq!(read.digest(), embedded_policies().digest());
    }
}
