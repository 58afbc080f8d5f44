//! The nesting depth of policy and schema text, computed before Cedar parses it.
//!
//! Cedar recurses once per level when it parses, validates, evaluates and drops a text, and a stack
//! overflow ends the process. Does not validate.

/// Nested brackets. Each level takes Cedar's parser some 25 KiB of a thread's 2 MiB.
const BRACKETS_MAX: usize = 24;
/// Operators, conditions and attribute accesses in a row. Each takes some 2 KiB.
const ROW_MAX: usize = 400;
/// An `if` costs as much as this many operators.
const IF: usize = 5;
/// Bytes of a `like` pattern. Matching may take the product of the lengths of pattern and text, and
/// must not delay decisions.
const PATTERN_MAX: usize = 1_000;
/// The same for all patterns of one policy together.
const PATTERNS_MAX: usize = 10_000;

/// The position at which a schema nests too deep, and what is too much there.
pub(super) fn schema_too_deep(text: &str) -> Option<(usize, String)> {
    // Here `Set<Long>` nests; in a policy these are comparisons.
    too_deep(&text.replace('<', "(").replace('>', ")"))
}

/// The same for policies.
pub(super) fn too_deep(text: &str) -> Option<(usize, String)> {
    let mut depth = NestingDepth { rows: vec![0], sum: 0, steps: 0 };
    let mut rest = text.as_bytes();
    let mut before_pattern = false;
    let mut patterns = 0;
    while let Some((&byte, after)) = rest.split_first() {
        let at = text.len() - rest.len();
        let length = match byte {
            b'"' => string_length(rest),
            b'/' if after.first() == Some(&b'/') => line_length(rest),
            b'&' | b'|' if after.first() == Some(&byte) => 2,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => word_length(rest),
            _ => 1,
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        if before_pattern && byte == b'"' && length > PATTERN_MAX {
            let why =
                format!("a pattern of `like` may have {PATTERN_MAX} bytes: write a shorter one");
            return Some((at, why));
        }
        patterns += if before_pattern && byte == b'"' { length } else { 0 };
        if patterns > PATTERNS_MAX {
            let why = format!(
                "the patterns of `like` in one policy may have {PATTERNS_MAX} bytes together: write shorter ones, or fewer"
            );
            return Some((at, why));
        }
        // The end of a policy.
        if byte == b';' {
            patterns = 0;
        }
        before_pattern = token == b"like" || (before_pattern && is_blank(token));
        depth.take(token);
        if depth.rows.len() > BRACKETS_MAX {
            let why = format!("brackets nest deeper than {BRACKETS_MAX} levels: write it flatter");
            return Some((at, why));
        }
        if depth.sum > ROW_MAX || depth.steps > ROW_MAX {
            let why = format!(
                "more than {ROW_MAX} operators in a row: use a set (`in [...]`, `.contains`), or split this policy"
            );
            return Some((at, why));
        }
        rest = after;
    }
    None
}

/// Whether a token is white space or a comment.
fn is_blank(token: &[u8]) -> bool {
    token.iter().all(u8::is_ascii_whitespace) || token.starts_with(b"//")
}

/// The length of a string literal, including quotes.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = true;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        // The first quote opens it.
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}

fn line_length(text: &[u8]) -> usize {
    text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len())
}

fn word_length(text: &[u8]) -> usize {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.iter().position(|byte| !inside(byte)).unwrap_or(text.len())
}

struct NestingDepth {
    /// For each open bracket, and for the policy itself: the length of its row.
    rows: Vec<usize>,
    sum: usize,
    /// Chained attribute accesses and method calls.
    steps: usize,
}

impl NestingDepth {
    fn take(&mut self, token: &[u8]) {
        match token {
            b"(" | b"[" | b"{" => {
                self.rows.push(0);
                self.steps += 1;
            }
            b")" | b"]" | b"}" if self.rows.len() > 1 => {
                self.sum -= self.rows.pop().unwrap_or(0);
            }
            b"." => self.steps += 1,
            b"&&" | b"||" | b"+" | b"-" | b"*" | b"when" | b"unless" => self.longer(1),
            b"if" => self.longer(IF),
            b"," | b";" => {
                let row = self.rows.last_mut().map(std::mem::take);
                self.sum -= row.unwrap_or(0);
                self.steps = 0;
            }
            b"=" | b"<" | b">" => self.steps = 0,
            _ => {}
        }
    }

    fn longer(&mut self, by: usize) {
        if let Some(row) = self.rows.last_mut() {
            *row += by;
            self.sum += by;
        }
        self.steps = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PolicyFiles;
    use crate::engine::{Snapshot, format};
    use crate::policy_folder;

    /// Conditions that nest so deep.
    const FORMS: [fn(usize) -> String; 14] = [
        |n| format!("{}true{}", "(".repeat(n), ")".repeat(n)),
        |n| format!("{}{} == []", "[".repeat(n), "]".repeat(n)),
        |n| format!("{}1{} == 1", "{a: ".repeat(n), "}".repeat(n)),
        |n| format!("{}true{}", "!(".repeat(n), ")".repeat(n)),
        |n| format!("{}principal{} == 1", "principal.active == (".repeat(n), ")".repeat(n)),
        |n| format!("true{}", " && true".repeat(n)),
        |n| format!("principal.active{}", " || principal.active".repeat(n)),
        |n| format!("1{} == 1", "+1".repeat(n)),
        |n| format!("{}true", "if principal.active then true else ".repeat(n)),
        |n| format!("principal{} == 1", ".account".repeat(n)),
        |n| format!("principal{} == 1", "[\"account\"]".repeat(n)),
        |n| format!("true }}{} when {{ true", " unless { false }".repeat(n)),
        |n| {
            let level = format!("(true{} && ", " && true".repeat(15));
            format!("{}true{}", level.repeat(n), ")".repeat(n))
        },
        |n| {
            let level = format!("({}", "if principal.active then true else ".repeat(3));
            format!("{}true{}", level.repeat(n), ")".repeat(n))
        },
    ];

    fn faults_of(condition: &str) -> Vec<String> {
        let shipped = policy_folder::embedded_policies();
        let mut files: Vec<(String, Vec<u8>)> =
            shipped.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
        let rule =
            format!("@id(\"deep\") permit (principal, action, resource) when {{ {condition} }};");
        files.push(("rules/deep.cedar".to_owned(), rule.into_bytes()));
        let faults = Snapshot::load(&PolicyFiles::new(files), &[]).err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect()
    }

    /// On the stack of a thread, which a test has as well: one that overflows ends the process.
    #[test]
    fn what_nests_too_deep_is_refused_and_what_is_not_fits_the_stack() {
        for form in FORMS {
            let rule = |n| format!("permit (principal, action, resource) when {{ {} }};", form(n));
            let most = (1..1_000).find(|n| too_deep(&rule(*n)).is_some()).unwrap() - 1;
            assert!(most >= 10, "{}", form(3));
            let told = faults_of(&form(most));
            assert!(!told.iter().any(|fault| is_of_depth(fault)), "{told:?}");
            for n in [most + 1, 1_000, 200_000] {
                let told = faults_of(&form(n));
                assert!(matches!(&told[..], [one] if is_of_depth(one)), "{}", form(3));
                assert!(format("x.cedar", &rule(n)).is_err());
            }
        }
    }

    fn is_of_depth(fault: &str) -> bool {
        fault.starts_with("rules/deep.cedar:1: ")
            && (fault.contains("nest deeper than") || fault.contains("operators in a row"))
    }

    #[test]
    fn a_schema_that_nests_too_deep_is_refused() {
        let refused = |kind: String| {
            let schema = format!("entity Account; entity Role; entity Deep {{ x: {kind} }};");
            let files = vec![("schema.cedarschema".to_owned(), schema.into_bytes())];
            let faults = Snapshot::load(&PolicyFiles::new(files), &[]).unwrap_err();
            faults.iter().any(|fault| fault.message.contains("nest deeper than"))
        };
        for (open, close) in [("Set<", ">"), ("{a: ", "}")] {
            let nested = |n| format!("{}Long{}", open.repeat(n), close.repeat(n));
            assert!(!refused(nested(20)));
            assert!(refused(nested(30)) && refused(nested(200_000)));
        }
    }

    #[test]
    fn a_long_pattern_is_refused_and_a_long_text_is_not() {
        let long = "a".repeat(PATTERN_MAX);
        for (condition, is_refused) in [
            (format!("\"{long}{long}\" like \"*a\""), false),
            (format!("\"\" like \"{}\"", "a".repeat(PATTERN_MAX - 2)), false),
            (format!("\"\" like // Why.\n \"{long}\""), true),
            (format!("\"\" like\"{long}\""), true),
            (format!("\"\" == \"{long}\""), false),
        ] {
            let text = format!("permit (principal, action, resource) when {{ {condition} }};");
            let told = too_deep(&text).map(|(_, why)| why);
            assert_eq!(told.is_some_and(|why| why.contains("like")), is_refused, "{condition}");
        }
    }

    #[test]
    fn the_patterns_of_one_policy_are_bounded_together() {
        let pattern = format!("\"\" like \"{}\"", "a".repeat(PATTERN_MAX - 2));
        let policy = |n: usize| {
            let all = vec![pattern.as_str(); n].join(" || ");
            format!("permit (principal, action, resource) when {{ {all} }};")
        };
        let most = PATTERNS_MAX / PATTERN_MAX;
        assert_eq!(too_deep(&policy(most).repeat(3)), None);
        let (_, why) = too_deep(&policy(most + 1)).unwrap();
        assert!(why.contains("like") && why.contains("together"), "{why}");
    }

    #[test]
    fn what_is_wide_is_not_deep() {
        let set = format!("principal.role in [{}]", "\"((((\\\"\", ".repeat(5_000));
        let lines = "// ((((((((((((((((((((((((((((((((( && if\n".repeat(20);
        let many =
            "permit (principal, action, resource) when { 1 + 1 == 2 && true };\n".repeat(2_000);
        for text in [set, lines, many] {
            assert_eq!(too_deep(&text), None);
        }
    }
}
