//! Static assets: stylesheet, scripts and icon, embedded in the binary under content-hashed names,
//! so that a browser may cache each for a year.

use std::sync::LazyLock;

use crate::app::App;
use crate::browser_security::PublicUrl;
use crate::domain::Digest;
use crate::http::{Method, Reply, Request};

/// Cached as long as possible (RFC 8246): other content has another name.
const KEPT: [(&str, &str); 2] = [
    ("cache-control", "public, max-age=31536000, immutable"),
    ("x-content-type-options", "nosniff"),
];

/// A static file that pages refer to.
pub(super) struct Asset {
    /// The path below the base path.
    pub(super) path: String,
    media: &'static str,
    body: String,
}

impl Asset {
    fn new(name: &str, extension: &str, media: &'static str, body: String) -> Self {
        let digest = Digest::of(&[body.as_bytes()]).hex();
        let digest = digest.get(..12).unwrap_or_default();
        Self { path: format!("/assets/{name}-{digest}.{extension}"), media, body }
    }
}

/// A text without comments, indentation and redundant line ends.
///
/// Assumes that comments are on their own lines, and that no literal spans lines.
fn lean(text: &str) -> String {
    let mut lean = String::with_capacity(text.len());
    let mut in_comment = false;
    for line in text.lines().map(str::trim) {
        in_comment |= line.starts_with("/*");
        if !in_comment && !line.starts_with("//") && !line.is_empty() {
            lean.push_str(line);
            if !line.ends_with([';', ',', '{', '(', '[']) {
                lean.push('\n');
            }
        }
        in_comment &= !line.ends_with("*/");
    }
    lean
}

/// The same for a stylesheet, where no line end matters, nor the space in a declaration, its last
/// semicolon and the zero before a point.
fn tight(sheet: &str) -> String {
    let declaration = |line: &str| {
        if line.ends_with(';') {
            line.replacen(": ", ":", 1) + "\n"
        } else {
            line.to_owned() + "\n"
        }
    };
    let sheet = lean(&sheet.lines().map(declaration).collect::<String>());
    let sheet = sheet.replace('\n', "").replace(";}", "}").replace(" {", "{");
    sheet.replace(":0.", ":.").replace(" 0.", " .")
}

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("style", "css", "text/css; charset=utf-8", tight(include_str!("assets/style.css")))
});
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "script",
        "js",
        "text/javascript; charset=utf-8",
        lean(include_str!("assets/script.js")),
    )
});
/// Loaded by the script on pages that need a passkey.
pub(super) static PASSKEYS: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "passkeys",
        "js",
        "text/javascript; charset=utf-8",
        lean(include_str!("assets/passkeys.js")),
    )
});
pub(super) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg").to_owned())
});

/// The requested asset, if it exists.
pub(super) fn asked(app: &App, request: &Request) -> Option<Reply> {
    if !matches!(request.method, Method::Get | Method::Head) {
        return None;
    }
    let path = PublicUrl::of(app).below(request.path());
    let all = [&*STYLE, &*SCRIPT, &*PASSKEYS, &*ICON];
    let asset = all.into_iter().find(|asset| asset.path == path)?;
    Some(Reply::text(asset.media, asset.body.as_str()).headers(&KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lean_text_has_its_words_and_no_comment() {
        let text = "/* one\n   two */\na {\n  color: red; /* kept */\n}\n\n// three\nb();\n";
        assert_eq!(lean(text), "a {color: red; /* kept */\n}\nb();");
    }

    #[test]
    fn a_tight_sheet_has_its_rules() {
        let sheet = "a,\n.b :hover {\n  gap: 0.5rem 0.1rem;\n}\n@media (width: 1px) {\n}\n";
        assert_eq!(tight(sheet), "a,.b :hover{gap:.5rem .1rem}@media (width: 1px){}");
    }

    #[test]
    fn no_literal_of_the_script_spans_lines() {
        let script = include_str!("assets/script.js");
        for line in script.lines() {
            assert_eq!(line.matches('`').count() % 2, 0, "{line}");
        }
    }
}
