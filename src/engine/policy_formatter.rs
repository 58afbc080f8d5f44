//! Formatting of policy files, with Cedar's own formatter.
//!
//! Changes white space only; a file that does not parse is left alone.

use std::str::FromStr;

use cedar_policy::PolicySet;
use cedar_policy_formatter::{Config, policies_str_to_pretty};

use super::nesting_limit::too_deep;
use super::policy_fault::PolicyFault;

/// Columns of a formatted policy file.
const LINE_WIDTH: usize = 100;

/// The text of a policy file as Cedar's formatter writes it.
///
/// # Errors
/// The fault with its line, where the text is no policies or nests too deep for the formatter; else
/// the formatter's sentence.
pub fn format(file: &str, text: &str) -> Result<String, PolicyFault> {
    if let Some((at, why)) = too_deep(text) {
        return Err(PolicyFault::at(file, text, (at, 1), why));
    }
    let config = Config { line_width: LINE_WIDTH, indent_width: 2 };
    policies_str_to_pretty(text, &config).map_err(|fault| {
        match PolicySet::from_str(text) {
            // The formatter names no line.
            Err(errors) => errors.iter().next().map(|error| PolicyFault::of(file, text, error)),
            Ok(_) => None,
        }
        .unwrap_or_else(|| PolicyFault::new(file, format!("{fault:#}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_parse_is_told_by_its_line() {
        let text = "@id(\"x\")\npermit (principal, action, resource);\n\nforbid(principal\n";
        let fault = format("rules/x.cedar", text).unwrap_err();
        assert!(fault.line.is_some_and(|line| line >= 4), "{fault}");
        assert!(fault.to_string().starts_with("rules/x.cedar:"), "{fault}");
        assert!(fault.excerpt.contains('^'), "{fault}");
    }
}
