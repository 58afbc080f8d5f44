//! Stylesheet, script and icon: in the binary, under names that change with their content, so that
//! a browser may keep each for a year.

use std::sync::LazyLock;

use crate::app::App;
use crate::browser::Outside;
use crate::domain::Digest;
use crate::http::{Method, Reply, Request};

/// Kept for as long as caches keep anything (RFC 8246): another content has another name.
const KEPT: [(&str, &str); 2] = [
    ("cache-control", "public, max-age=31536000, immutable"),
    ("x-content-type-options", "nosniff"),
];

/// One file that pages refer to.
pub(super) struct Asset {
    /// Below the console's own path.
    pub(super) path: String,
    media: &'static str,
    body: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, media: &'static str, body: &'static str) -> Self {
        let digest = Digest::of(&[body.as_bytes()]).hex();
        let digest = digest.get(..12).unwrap_or_default();
        Self { path: format!("/assets/{name}-{digest}.{extension}"), media, body }
    }
}

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("style", "css", "text/css; charset=utf-8", include_str!("assets/style.css"))
});
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("script", "js", "text/javascript; charset=utf-8", include_str!("assets/script.js"))
});
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

/// The asset that is asked for, if it is one.
pub(super) fn asked(app: &App, request: &Request) -> Option<Reply> {
    if !matches!(request.method, Method::Get | Method::Head) {
        return None;
    }
    let path = Outside::of(app).below(request.path());
    let all = [&*STYLE, &*SCRIPT, &*ICON];
    let asset = all.into_iter().find(|asset| asset.path == path)?;
    Some(Reply::text(asset.media, asset.body).headers(&KEPT))
}
