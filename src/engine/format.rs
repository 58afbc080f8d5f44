//! Formatting of policy files, with Cedar's own formatter.
//!
//! Changes white space only; a file that does not parse is left alone.

use cedar_policy_formatter::{Config, policies_str_to_pretty};

use super::nesting::too_deep;

/// Columns of a formatted policy file.
const LINE_WIDTH: usize = 100;

/// The text of a policy file as Cedar's formatter writes it.
///
/// # Errors
/// The formatter's sentence, where the text is no policies; one of ours, where it nests too deep for
/// the formatter.
pub fn format(text: &str) -> Result<String, String> {
    if let Some((_, why)) = too_deep(text) {
        return Err(why);
    }
    let config = Config { line_width: LINE_WIDTH, indent_width: 2 };
    policies_str_to_pretty(text, &config).map_err(|fault| format!("{fault:#}"))
}
